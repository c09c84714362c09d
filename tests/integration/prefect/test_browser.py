"""A person uses Prefect's UI: a real browser fills in the deployment's form, runs it, and looks at the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.prefect.hearth_up import Up, brought_up
from tests.support.browser import Browser, browser
from tests.support.pictures import Tour
from tests.support.tools import CHROMEDRIVER, CHROMIUM, needs
from tests.support.waiting import until

pytestmark = [
    pytest.mark.long("drives a browser"),
    pytest.mark.timeout(1800),
    needs(CHROMIUM, CHROMEDRIVER),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with brought_up(tmp_path_factory.mktemp("browser") / "up") as up:
        yield up


@contextmanager
def ui(up: Up) -> Iterator[Browser]:
    """Prefect's UI, with the password given."""
    with browser(up.api.removesuffix("/api")) as shown:
        shown.log_in(up.password)
        yield shown


def _labels(up: Up, shown: Browser, deployment: str) -> list[str]:
    """The fields of a deployment's form, as they stand below each other."""
    shown.open(f"/deployments/deployment/{up.deployment(deployment)['id']}/run", "Submit")
    until(lambda: shown.driver.find_elements("xpath", "//label[.//*[contains(text(), '(Optional)')]]"))
    labels = [label.text.removesuffix(" (Optional)") for label in shown.driver.find_elements("tag name", "label")]
    return [label for label in labels if label][1:]  # the first is the run's own name


def test_the_forms_show_the_usual_fields_first_and_no_internal_ones(up: Up):
    with ui(up) as shown:
        document = _labels(up, shown, "process-document/on-demand")
        batch = _labels(up, shown, "process-batch/on-demand")
        plan = _labels(up, shown, "plan-costs/plan-costs")
    assert document[:6] == ["job", "Document", "Pages", "Model", "Backend", "Output"]
    assert batch[:6] == ["batch", "Sources", "Pages", "Model", "Backend", "Output"]
    assert plan[:5] == ["request", "Documents", "Pages", "Model", "Deadline"]
    assert {"Finish within", "Longest side, pixels"} <= {*document} & {*batch}
    assert not {"Part", "Budget, minutes", "Deadline, seconds"} & {*document, *batch, *plan}


def test_the_form_refuses_a_deadline_that_is_not_a_duration(up: Up):
    with ui(up) as shown:
        _labels(up, shown, "process-batch/on-demand")
        shown.fill("Finish within (Optional)", "soon")
        shown.click("Submit")
        until(lambda: "does not match" in shown.driver.page_source)
    deployment = up.deployment("process-batch/on-demand")["id"]
    assert up.post("/flow_runs/filter", deployments={"id": {"any_": [deployment]}}) == []


def test_the_form_starts_a_run_whose_pages_and_artifacts_are_shown(up: Up, tmp_path: Path):
    document = tmp_path / "paper.pdf"
    assert up.hearth("sample", document).code == 0
    with ui(up) as shown:
        tour = Tour(up, shown, tmp_path)
        run = tour.form(document, tmp_path / "results")
        assert run["state_name"] == "Completed"
        # What was left alone in the form is not sent, or is as it was.
        alone = {"force": False, "require_gpu": False, "strict": False, "fallback": "none"}
        alone |= {"text_layer": "never", "headers": "keep", "pictures": "omit", "turn": "auto", "straighten": "auto"}
        job = {"document": str(document), "output": str(tmp_path / "results")}
        assert run["parameters"] == {"job": job | alone}
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
