"""`hearth --help` is there at once: what takes long to import waits until a command needs it."""

from __future__ import annotations

import json
import subprocess
import sys

SLOW = ["prefect", "fastapi", "boto3", "botocore", "pymupdf", "prometheus_client", "cryptography", "PIL", "uvicorn"]


def test_the_help_imports_no_slow_library():
    ask = f"import flows.cli.main, json, sys; print(json.dumps([m for m in {SLOW} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-P", "-c", ask], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
