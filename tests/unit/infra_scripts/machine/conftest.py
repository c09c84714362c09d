"""A watchdog, and the stubs of what surrounds it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.infra.machine_stubs import Surroundings, surroundings


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    with surroundings(tmp_path) as there:
        yield there
