"""A sixth backend works in every command, although no module of the project names it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support import forkserver, pdfs
from tests.support.commands import Hearth
from tests.support.sixth_backend import MACHINE
from tests.support.waiting import PATIENCE

Command = Callable[..., str]


@pytest.fixture
def sixth(hearth: Hearth) -> Command:
    """The command, where the backend is the sixth."""

    def run(*arguments: str) -> str:
        environment = {**hearth.environment, "HEARTH_BACKEND": "sixth"}
        started = forkserver.start("tests.support.sixth_backend", *arguments, cwd=hearth.directory, env=environment)
        with started as process:
            out, err = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 0, err
        return out

    return run


@pytest.mark.always
def test_it_reads_and_its_machines_are_shown_stopped_and_billed(sixth: Command, hearth: Hearth):
    """One document is read, so that it takes one start of the flow."""
    letter = pdfs.written(hearth.directory / "letter.pdf", "The harbour is quiet.")
    read = json.loads(sixth("read", str(letter), "--json"))
    manifest = json.loads((hearth.directory / read["output"] / "manifest.json").read_text())
    assert (manifest["endpoint"]["backend"], manifest["machines"][0]["id"]) == ("sixth", MACHINE)
    assert manifest["cost_usd"] > 0

    assert json.loads(sixth("status", "--json"))["sixth"] == MACHINE
    shown = sixth("status")
    assert "The sixth cloud has:" in shown
    assert MACHINE in shown
    assert f"{MACHINE} stops." in sixth("stop", MACHINE, "--force")

    bill = json.loads(sixth("cost", "--by", "machine", "--json"))
    assert bill["total"]["usd"] == pytest.approx(manifest["cost_usd"], abs=0.001)
    assert bill["lines"][0]["name"].startswith(MACHINE)
    assert "Not in it: the sixth cloud's air." in bill["notes"]


def test_its_requirements_are_checked_and_plans_are_made_as_for_any_other(sixth: Command):
    checked = json.loads(sixth("check", "--json"))
    assert checked["backend"] == "sixth"
    assert "The sixth cloud answers." in [each["why"] for each in checked["checks"] if each["of"] == "sixth"]
    assert json.loads(sixth("plan", "--pages", "50", "--json"))["pages"] == 50
