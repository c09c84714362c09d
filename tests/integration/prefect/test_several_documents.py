"""`hearth read A.pdf B.pdf`, and - for standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth, Outcome
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("each test runs the command on several documents: 3 to 13 s")


def lines(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.fixture
def letters(tmp_path: Path) -> list[Path]:
    return [pdfs.written(tmp_path / f"{name}.pdf", f"This is the letter {name}.") for name in ("first", "second")]


def piped(hearth: Hearth, document: bytes, *arguments: str) -> Outcome:
    command = [sys.executable, "-P", "-m", "flows.cli.main", "read", "-", "--json", *arguments]
    where = {"cwd": hearth.directory, "env": hearth.environment}
    done = subprocess.run(command, input=document, capture_output=True, timeout=2 * PATIENCE, check=False, **where)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.long("a command that reads several documents: 16 s")
def test_each_document_has_its_line_and_its_results(hearth: Hearth, letters: list[Path]):
    outcome = hearth.read(*letters)
    assert outcome.code == 0, outcome.err
    assert [line["document"] for line in lines(outcome)] == list(map(str, letters))
    assert [Path(line["output"]).name.partition("-")[0] for line in lines(outcome)] == ["first", "second"]


def test_a_refused_document_does_not_affect_the_others(hearth: Hearth, letters: list[Path]):
    outcome = hearth.read(letters[0], "missing.pdf", letters[1])
    assert outcome.code == 2
    assert [line["status"] for line in lines(outcome)] == ["complete", "error", "complete"]


def test_the_exit_code_is_that_of_the_worst_document(hearth: Hearth, serving, letters: list[Path]):
    """A refused document (2) is worse than failed pages (3)."""
    engine = serving("fickle")
    assert hearth.read(*letters, "--attempts", "1", **engine.settings).code == 3
    assert hearth.read("missing.pdf", *letters, "--attempts", "1", "--force", **engine.settings).code == 2


def test_without_a_server_the_other_documents_are_not_begun(hearth: Hearth, letters: list[Path]):
    nobody = {"HEARTH_URL": "http://127.0.0.1:9", "HEARTH_WARM__ANSWER_SECONDS": "1"}
    outcome = hearth.read(*letters, "--model", "tesseract:eng", **nobody)
    assert outcome.code == 1
    assert [line["status"] for line in lines(outcome)] == ["error", "not begun"]
    assert f"Not started: {letters[1]}" in outcome.err


def test_the_text_of_all_of_them_is_printed_in_order(hearth: Hearth, letters: list[Path]):
    text = hearth("read", *letters, "--text").out
    assert text.index("letter first") < text.index("letter second")


def test_a_piped_run_prints_its_address_before_it_reads(hearth: Hearth, letters: list[Path]):
    err = hearth("read", letters[0]).err
    assert err.splitlines()[0].startswith("Watch it at http")


def test_a_document_from_standard_input_is_read_under_its_name(hearth: Hearth, letters: list[Path]):
    outcome = piped(hearth, letters[0].read_bytes(), "--name", "piped.pdf")
    assert outcome.code == 0, outcome.err
    assert outcome.directory.name.startswith("piped-")
    assert "letter first" in outcome.document


def test_a_document_read_from_a_file_is_not_read_again_from_standard_input(hearth: Hearth, letters: list[Path]):
    hearth.read(letters[0])
    again = piped(hearth, letters[0].read_bytes())
    assert (again.code, again.json["read_now"]) == (0, 0), again.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-", "-"], "named twice"),
        (["a.pdf", "--name", "b.pdf"], "--name is for a document from standard input"),
        (["https://host/a.pdf"], "is a URL"),
    ],
)
def test_contradictory_arguments_are_refused_at_once(hearth: Hearth, arguments: list[str], why: str):
    outcome = hearth("read", *arguments, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert (outcome.code, why in outcome.err) == (2, True), outcome.err
