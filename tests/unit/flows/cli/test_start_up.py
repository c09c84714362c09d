"""Commands are there at once: what takes long to import waits until a command needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SLOW = ["prefect", "fastapi", "boto3", "botocore", "pymupdf", "prometheus_client", "cryptography", "PIL", "uvicorn"]
BACKENDS = ["httpx", "tasks.backends.registry"]

COMMAND = """
import atexit, json, sys
from flows.cli.main import main
atexit.register(lambda: sys.__stdout__.write(json.dumps(sorted(sys.modules))))
sys.argv = ["hearth", *{arguments}]
main()
"""


def imported_by(*arguments: str, **settings: str) -> set[str]:
    """Return the modules that a command has imported when it ends."""
    command = [sys.executable, "-P", "-c", COMMAND.format(arguments=list(arguments))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **settings})
    return set(json.loads(done.stdout[done.stdout.rindex("[") :]))


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["status", "--json"]])
def test_help_and_status_import_no_slow_library(arguments: list[str]):
    assert imported_by(*arguments).isdisjoint(SLOW + BACKENDS)


def test_status_imports_the_backends_if_a_setting_names_one():
    assert imported_by("status", HEARTH_BACKEND="embedded") >= set(BACKENDS)
