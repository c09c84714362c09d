"""Cases of tests from files that are not part of the project, and may be absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def cases_or_skip(values: Iterable[T], name: Callable[[T], str], missing: object) -> list[Any]:
    """Return a case for each value; if there are none, one that is skipped, with what is missing."""
    cases = [pytest.param(value, id=name(value)) for value in values]
    return cases or [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=f"no {missing}"))]
