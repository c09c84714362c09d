"""What a person sees of Hearth in Prefect's UI: `make screenshots` uses it and writes docs/pictures/ui-*.png."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.prefect.hearth_up import Up, brought_up
from tests.support.browser import Browser, browser
from tests.support.forkserver import SESSION
from tests.support.pdfs import written
from tests.support.tools import CHROMEDRIVER, CHROMIUM
from tests.support.waiting import until

HOME = Path("/tmp/hearth-demo")
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
_INBOX = {"invoice-1041": 2, "invoice-1042": 1, "minutes": 3, "contract": 4}


@dataclass
class Tour:
    """A walk through the UI.

    Args:
        folder: where the pictures go.
    """

    up: Up
    browser: Browser
    folder: Path

    def deployments(self) -> None:
        """All that there is to run."""
        self.browser.open("/deployments", "nightly")
        self._picture("deployments", 900)

    def form(self, document: Path, output: Path) -> dict[str, Any]:
        """Fill in the form of a document, run it, and wait for the end of the run."""
        deployment = self.up.deployment("process-document/on-demand")["id"]
        before = {run["id"] for run in self._runs(deployment)}
        self.browser.open(f"/deployments/deployment/{deployment}/run", "PDF")
        self.browser.fill("PDF", str(document))
        self.browser.fill("Output (Optional)", str(output))
        self._picture("form", 1250)
        self.browser.click("Submit")
        until(lambda: len(self._runs(deployment)) > len(before))
        (run,) = (run for run in self._runs(deployment) if run["id"] not in before)
        return self.up.ended(run["id"])

    def run(self, run: dict[str, Any], name: str) -> None:
        """A run's page."""
        self.browser.open(f"/runs/flow-run/{run['id']}", run["name"])
        self.browser.wait_for(run["state_name"])
        self.browser.click("Task Runs")  # its log names directories of this machine
        self._picture(name, 1000)

    def artifacts(self, run: dict[str, Any]) -> None:
        """What a run has left to look at."""
        self.browser.open(f"/runs/flow-run/{run['id']}?tab=Artifacts", run["name"])
        self.browser.click("Artifacts")
        self.browser.wait_for(self._artifact(run, "-summary")["key"])
        self._picture("artifacts", 1200)

    def artifact(self, run: dict[str, Any], ending: str, name: str) -> None:
        """One of these."""
        found = self._artifact(run, ending)
        self.browser.open(f"/artifacts/artifact/{found['id']}", found["key"])
        self._picture(name, 1000)

    def _artifact(self, run: dict[str, Any], ending: str) -> dict[str, Any]:
        found = self.up.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
        return next(each for each in found if (each["key"] or "").endswith(ending))

    def _runs(self, deployment: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.up.post("/flow_runs/filter", deployments={"id": {"any_": [deployment]}})
        return found

    def _picture(self, name: str, height: int) -> None:
        self.browser.picture(self.folder / f"ui-{name}.png", height)


def main() -> None:
    for tool in (CHROMIUM, CHROMEDRIVER):
        if not tool.path:
            sys.exit(tool.missing)
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "inbox").mkdir(parents=True)
    with brought_up(HOME / "home", HEARTH_INBOX=str(HOME / "inbox"), HEARTH_OUTPUT=str(HOME / "results")) as up:
        document = HOME / "paper.pdf"
        assert up.hearth("sample", document).code == 0
        for name, pages in _INBOX.items():
            written(HOME / "inbox" / f"{name}.pdf", *(f"Page {page} of {name}." for page in range(1, pages + 1)))
        with browser(up.api.removesuffix("/api")) as shown:
            shown.log_in(up.password)
            tour = Tour(up, shown, PICTURES)
            run = tour.form(document, HOME / "results")
            tour.run(run, "run")
            tour.artifacts(run)
            for what in ("pages", "slots", "summary"):
                tour.artifact(run, f"-{what}", what)
            batch = up.ended(up.run("process-batch/nightly"))
            tour.run(batch, "batch")
            tour.artifact(batch, "-report", "report")
            tour.deployments()
    shutil.rmtree(HOME, ignore_errors=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="hearth-pictures-") as session:
        os.environ[SESSION] = f"{session}:{os.getpid()}"  # as pytest sets it for the processes of a test run
        main()
