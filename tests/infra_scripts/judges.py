"""Checkov's judgement of a CloudFormation template."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.support.tools import CHECKOV


def checkov_finds_nothing(template: str, directory: Path) -> None:
    """Nothing that is not justified in the template."""
    (directory / "stack.yaml").write_text(template)
    done = subprocess.run(
        [CHECKOV.command, "-f", "stack.yaml", "--framework", "cloudformation", "-o", "json"],
        cwd=directory,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)
    assert told["summary"]["failed"] == 0, [check["check_id"] for check in told["results"]["failed_checks"]]
    assert told["summary"]["parsing_errors"] == 0
