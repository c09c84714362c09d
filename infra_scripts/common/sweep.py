"""What of a stack always runs: a schedule and a function that end what nobody uses, whatever became of all else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

SWEEP_COST = "under a cent a month"
"""8,640 calls a month of a second or two with 256 MB, most of them within what AWS gives away."""
_PARTS = Path(__file__).with_name("sweep.yaml")


def with_sweep(template: str, *, prefix: str, handler: Path, variables: Mapping[str, object]) -> str:
    """Return a template with them. It has a `LogGroup`, and a `SweepPolicy` that lets `SweepRole` do what it does.

    Args:
        template: of the stack.
        prefix: of their names, before the pool's.
        handler: the function's code: boto3 and the standard library alone.
        variables: of its environment, as CloudFormation takes them.
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
