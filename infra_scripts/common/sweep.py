"""The sweep of a stack: a schedule and a Lambda function that end unused machines, independent of everything else."""

import json
from collections.abc import Mapping
from pathlib import Path

SWEEP_COST = "under a cent a month"
"""8,640 calls a month of a second or two with 256 MB, mostly within AWS's free tier."""
_PARTS = Path(__file__).with_name("sweep.yaml")


def with_sweep(template: str, *, prefix: str, handler: Path, variables: Mapping[str, object]) -> str:
    """Add the schedule and the function to a template that has a `LogGroup` and a `SweepPolicy` for `SweepRole`.

    Resources are named `prefix` and the pool's name. The handler's code uses only boto3 and the standard library; its
    environment has CloudFormation values.
    """
    values = {
        "@PREFIX@": prefix,
        "@HANDLER@": json.dumps(handler.read_text()),
        "@VARIABLES@": json.dumps(variables),
    }
    parts = _PARTS.read_text()
    for mark, value in values.items():
        parts = parts.replace(mark, value)
    before, found, after = template.partition("Outputs:\n")
    return before + parts + found + after
