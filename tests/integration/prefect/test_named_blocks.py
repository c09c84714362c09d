"""Prefect blocks in a request: a directory for the results, and a Secret with the document's password."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.orchestrator.blocks import resolve_output
from tasks.core.errors import InputError
from tasks.core.jobs import Job
from tests.support.commands import ROOT, Hearth
from tests.support.pdfs import encrypted, written


def run(hearth: Hearth, **asked: Any) -> tuple[str, str]:
    """Run a job in a process of its own; its final state's name, and all else that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.prefect.in_a_run"],
        cwd=hearth.directory,
        env={**hearth.environment, "HEARTH_BACKEND": "embedded", "PYTHONPATH": str(ROOT)},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, message = json.loads(done.stdout.splitlines()[-1])
    return name, f"{message} {done.stderr}"


@pytest.mark.long("runs the command twice: 11 s")
def test_a_local_file_system_block_is_the_output_and_a_secret_opens_the_document(
    hearth: Hearth, prefect, tmp_path: Path
):
    job = {
        "document": str(encrypted(tmp_path / "contract.pdf", "Signed.", "open sesame")),
        "password_block": "contract",
    }
    state, told = run(
        hearth,
        secrets={"contract": "open sesame"},
        directories={"archive": str(tmp_path / "archive")},
        job={**job, "output_block": "local-file-system/archive"},
    )
    assert state == "Completed", told
    (document,) = (tmp_path / "archive").glob("contract-*/document.md")
    assert "Signed." in document.read_text()
    manifest = (document.parent / "manifest.json").read_text()
    (flow_run,) = prefect("flow_runs", flow_runs={"id": {"any_": [json.loads(manifest)["flow_run_id"]]}})
    logs = prefect("logs", logs={"flow_run_id": {"any_": [flow_run["id"]]}}, limit=200)
    assert logs
    assert "open sesame" not in manifest + told + json.dumps(flow_run) + json.dumps(logs)


@pytest.mark.long("runs the command: 6 s")
def test_a_missing_secret_block_is_reported(hearth: Hearth, tmp_path: Path):
    state, told = run(hearth, job={"document": str(written(tmp_path / "a.pdf", "One.")), "password_block": "nobody"})
    assert state == "Failed"
    assert "Prefect has no usable block secret/nobody. Create it, or correct the name." in told


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"output_block": "slack-webhook/nobody"}, "slack-webhook/nobody cannot hold results"),
        ({"output_block": "s3-bucket/a", "output": "/b"}, "Name one of them"),
    ],
)
async def test_a_block_that_cannot_hold_results_and_a_second_output_are_refused(names: dict[str, str], why: str):
    with pytest.raises(InputError, match=why):
        await resolve_output(Job(document="a.pdf", **names))
