"""A person uses Prefect's UI: a real browser fills in the deployment's form, runs it, and looks at what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.prefect.bringing_up import Up, brought_up
from tests.support.browser import browser
from tests.support.pictures import Tour
from tests.support.tools import CHROMEDRIVER, CHROMIUM, needs

pytestmark = [
    pytest.mark.long("drives a browser"),
    pytest.mark.timeout(1800),
    needs(CHROMIUM, CHROMEDRIVER),
]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with brought_up(tmp_path / "up") as up:
        yield up


def test_a_document_is_read_by_filling_in_the_form_and_its_pages_and_artifacts_are_shown(up: Up, tmp_path: Path):
    document = tmp_path / "paper.pdf"
    assert up.hearth("sample", document).code == 0
    with browser(up.api.removesuffix("/api")) as shown:
        shown.log_in(up.password)
        tour = Tour(up, shown, tmp_path)
        run = tour.form(document, tmp_path / "results")
        assert run["state_name"] == "Completed"
        # What was left alone in the form is not sent, or is as it was.
        job = {"document": str(document), "output": str(tmp_path / "results"), "force": False, "require_gpu": False}
        assert run["parameters"] == {"job": job}
        assert list((tmp_path / "results").glob("paper-*/document.md"))
        tour.run(run, "run")
        shown.wait_for("paper page 6")
        tour.artifacts(run)
        for what, told in (
            ("pages", "page"),
            ("slots", "Slots and page times of paper"),
            ("summary", "Every page was read."),
        ):
            tour.artifact(run, f"-{what}", what)
            shown.wait_for(told)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("ui-form.png", "ui-run.png", "ui-artifacts.png", "ui-pages.png", "ui-slots.png", "ui-summary.png"),
    }
