"""A script without a Prefect server gets a temporary one that serves only the script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.environment import clean
from tests.support.prefect_home import seed

TEMPORARY = """
import httpx
import flows.process_document
from prefect.client.orchestration import get_client
from prefect.server.api.server import SubprocessASGIServer

with get_client(sync_client=True) as client:
    client.read_flows()
    print(httpx.get(SubprocessASGIServer().api_url + "/admin/version").status_code)
"""


@pytest.mark.long("Prefect starts a server of its own")
def test_the_temporary_server_of_a_script_refuses_other_clients(tmp_path: Path):
    home = {"PREFECT_HOME": str(seed(tmp_path)), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "200"}
    command = [sys.executable, "-P", "-c", TEMPORARY]
    done = subprocess.run(command, cwd=ROOT, env={**clean(), **home}, capture_output=True, text=True, check=False)
    assert done.stdout == "401\n", done.stderr
