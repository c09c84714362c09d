"""A deadline as a duration: no page of a document begins after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.prefect.test_named_blocks import run
from tests.support.commands import Hearth
from tests.support.pdfs import written

pytestmark = pytest.mark.long("a process of its own that runs the flow: 6 to 10 s")


@pytest.mark.parametrize(("finish_within", "state"), [("0.001 s", "Stopped"), ("2 hours", "Completed")])
def test_pages_begin_only_before_the_deadline(hearth: Hearth, prefect, tmp_path: Path, finish_within: str, state: str):
    job = {"document": str(written(tmp_path / "a.pdf", "One.")), "output": str(tmp_path / "out")}
    named, told = run(hearth, job={**job, "finish_within": finish_within})
    assert named == state, told
    assert len(list((tmp_path / "out").glob("a-*/pages/*.json"))) == (state == "Completed")
