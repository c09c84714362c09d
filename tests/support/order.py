"""A pytest plugin: files with slow tests come first, so that no worker waits for another's long file at the end.

And a test that is marked as long says why.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

_SECONDS = {"hearth": 4.0, "session_home": 4.0, "up": 10.0, "aws": 2.0, "moto": 1.0, "start": 1.0, "serving": 2.0}
"""About how long a test takes that asks for a fixture; 0.05 s without any of these."""

_TOLD = re.compile(r"(\d+) s\b")
"""Seconds in the reason of a long test."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Ask each long test for its reason."""
    if any(not mark.args for mark in item.iter_markers("long")):
        raise pytest.UsageError(f"{item.nodeid}: say why it is long, as in @pytest.mark.long('starts a worker').")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order whole files; tests of one file stay as they are."""
    seconds: dict[Path, float] = defaultdict(float)
    for item in items:
        seconds[item.path] += _expected(item)
    items.sort(key=lambda item: -seconds[item.path])


def _expected(item: pytest.Item) -> float:
    told = [float(each) for mark in item.iter_markers("long") for each in _TOLD.findall(mark.args[0])]
    by_fixture = [_SECONDS.get(fixture, 0.05) for fixture in getattr(item, "fixturenames", ())]
    return max([*told, *by_fixture], default=0.05)
