"""`hearth read`, from the PDF to the text, with real processes: the command, Prefect's server, the embedded server."""

import json
import os
import pty
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("each test runs the command, some twice: 3 to 14 s")

WORDS = ("The harbour is quiet in the morning.", "Winter brings fewer ships.", "The lamps are lit at five.")


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    return pdfs.written(tmp_path / "letter.pdf", *WORDS)


class TestReading:
    @pytest.mark.always
    def test_every_page_is_read_into_one_document_in_order(self, hearth: Hearth, letter: Path):
        outcome = replace(hearth, anew=True).read(letter)
        assert outcome.code == 0, outcome.err
        found = re.findall(r"<!-- page (\d) -->\n\n(.*)\n", outcome.document)
        assert found == [("1", WORDS[0]), ("2", WORDS[1]), ("3", WORDS[2])]

    def test_the_manifest_names_document_model_and_options(self, hearth: Hearth, letter: Path):
        manifest = hearth.read(letter).manifest
        assert manifest["status"] == "complete"
        assert [page["status"] for page in manifest["pages"]] == ["read"] * 3
        assert manifest["model"] == "tesseract:eng"
        assert len(manifest["digest"]) == 64
        assert manifest["endpoint"]["backend"] == "embedded"
        assert "no ollama is on PATH" in manifest["endpoint"]["why"]
        assert all(page["tokens_out"] > 0 and page["attempts"][0]["temperature"] == 0 for page in manifest["pages"])

    def test_only_the_selected_pages_are_read(self, hearth: Hearth, letter: Path):
        outcome = hearth.read(letter, "--pages", "3,1-1")
        assert outcome.json["pages"] == 2
        assert WORDS[1] not in outcome.document

    def test_a_blank_page_is_not_a_failure(self, hearth: Hearth, tmp_path: Path):
        outcome = hearth.read(pdfs.written(tmp_path / "gap.pdf", WORDS[0], ""))
        assert (outcome.code, outcome.json["read"], outcome.json["blank"]) == (0, 1, 1)
        assert "<!-- page 2, blank -->" in outcome.document

    def test_an_encrypted_pdf_is_read_with_the_password_in_a_variable(self, hearth: Hearth, tmp_path: Path):
        secret = pdfs.encrypted(tmp_path / "secret.pdf", WORDS[0], "open sesame")
        outcome = hearth.read(secret, "--password-env", "DOOR", DOOR="open sesame")
        assert outcome.code == 0, outcome.err
        assert WORDS[0] in outcome.document
        assert not [path for path in outcome.directory.rglob("*.*") if "sesame" in path.read_text()]

    def test_the_text_is_printed_on_request(self, hearth: Hearth, letter: Path):
        assert WORDS[2] in hearth("read", letter, "--text").out

    def test_without_a_terminal_only_the_address_and_the_summary_are_printed(self, hearth: Hearth, letter: Path):
        outcome = hearth("read", letter)
        assert outcome.out == ""
        address, summary, *_ = outcome.err.splitlines()
        assert address.startswith("Watch it at http")
        assert summary.startswith("pages ")
        assert "\x1b" not in outcome.err

    def test_a_terminal_shows_progress(self, hearth: Hearth, letter: Path):
        controller, terminal = pty.openpty()
        process = hearth.start("read", letter, TERM="xterm", stderr=terminal)
        os.close(terminal)
        drawn = b""
        while chunk := _read(controller):
            drawn += chunk
        process.communicate()
        os.close(controller)
        assert b"starting" in drawn
        assert b"3/3" in drawn
        assert b"pages/min" in drawn


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that the other end was closed
        return b""


class TestReadingAgain:
    @pytest.mark.always
    def test_a_document_that_was_read_is_not_read_again_and_starts_no_server(
        self, hearth: Hearth, letter: Path, tmp_path: Path
    ):
        first = hearth.read(letter)
        times = {path: path.stat().st_mtime_ns for path in first.directory.rglob("*.*")}
        second = hearth.read(letter, HEARTH_HOME=str(tmp_path / "cold"), PREFECT_API_URL="http://127.0.0.1:9/api")
        assert second.code == 0, second.err
        # The model's digest is known from the last manifest.
        assert (second.json["read"], second.json["read_now"]) == (3, 0)
        assert {path: path.stat().st_mtime_ns for path in first.directory.rglob("*.*")} == times
        assert not (tmp_path / "cold" / "servers").exists()

    def test_a_selection_of_stored_pages_reads_nothing(self, hearth: Hearth, letter: Path):
        hearth.read(letter)
        outcome = hearth.read(letter, "--pages", "2")
        assert outcome.json["read_now"] == 0
        assert WORDS[1] in outcome.document
        assert WORDS[0] not in outcome.document

    @pytest.mark.parametrize(
        "change",
        [
            ("--prompt", "Read."),
            ("--force",),
            *(
                pytest.param(more, marks=pytest.mark.long("the same for another option"))
                for more in [("--longest-side", "1100"), ("--num-ctx", "9000")]
            ),
        ],
    )
    def test_a_changed_option_that_affects_the_answer_reads_again(self, hearth: Hearth, serving, letter: Path, change):
        engine = serving("echo")
        hearth.read(letter, **engine.settings)
        again = hearth.read(letter, *change, **engine.settings)
        assert again.json["read_now"] == 3

    def test_another_model_with_the_same_name_reads_again(self, hearth: Hearth, serving, letter: Path):
        hearth.read(letter, **serving("echo").settings)
        assert hearth.read(letter, **serving("wordy").settings).json["read_now"] == 3

    def test_a_run_that_stores_nothing_keeps_the_earlier_text(self, hearth: Hearth, letter: Path):
        first = hearth.read(letter)
        text = first.document
        nobody = {"HEARTH_URL": "http://127.0.0.1:9", "HEARTH_WARM__ANSWER_SECONDS": "1"}
        failed = hearth.read(letter, "--prompt", "Other.", "--model", "tesseract:eng", **nobody)
        assert failed.code == 1
        assert first.document == text
        assert first.manifest["status"] == "complete"

    def test_the_next_run_tries_failed_pages_again(self, hearth: Hearth, serving, letter: Path):
        engine = serving("fickle")
        first = hearth.read(letter, "--attempts", "1", **engine.settings)
        second = hearth.read(letter, "--attempts", "1", **engine.settings)
        assert (first.code, first.json["failed"]) == (3, 3)
        assert (second.code, second.json["read"]) == (0, 3)

    def test_two_simultaneous_runs_read_each_page_once(self, hearth: Hearth, serving, letter: Path):
        engine = serving("echo", seconds=0.3)
        runs = [hearth.start("read", letter, "--json", **engine.settings) for _ in range(2)]
        outcomes = [(run.communicate(timeout=PATIENCE), run.returncode) for run in runs]
        assert [code for _, code in outcomes] == [0, 0]
        assert sorted(json.loads(out)["read_now"] for (out, _), _ in outcomes) == [0, 3]


class TestFailingPages:
    @pytest.mark.parametrize(
        ("engine", "options", "reason"),
        [("silent", (), "empty"), ("looping", (), "repetition"), ("wordy", ("--num-predict", "50"), "truncated")],
    )
    def test_a_bad_answer_is_retried_at_a_higher_temperature_and_then_recorded_with_its_reason(
        self, hearth: Hearth, serving, letter: Path, engine, options, reason
    ):
        outcome = hearth.read(letter, "--pages", "1", "--attempts", "3", *options, **serving(engine).settings)
        assert outcome.code == 3
        page = outcome.page(1)
        assert (page["status"], page["reason"]) == ("failed", reason)
        assert [attempt["temperature"] for attempt in page["attempts"]] == [0.0, 0.2, 0.4]
        assert outcome.json["failures"][0]["reason"] == reason

    def test_a_successful_retry_is_recorded_with_the_failed_attempts(self, hearth: Hearth, serving, letter: Path):
        outcome = hearth.read(letter, "--pages", "1", **serving("fickle").settings)
        assert outcome.code == 0
        assert [attempt["reason"] for attempt in outcome.page(1)["attempts"]] == ["empty", None]

    def test_a_page_that_cannot_be_rendered_does_not_affect_the_others(self, hearth: Hearth, tmp_path: Path):
        outcome = hearth.read(pdfs.with_huge_picture(tmp_path / "huge.pdf", 30_000))
        assert outcome.code == 3
        assert outcome.page(1)["reason"] == "size"
        assert outcome.page(2)["attempts"][0]["reason"] != "size"

    @pytest.mark.always
    def test_failed_pages_are_listed_with_their_reasons(self, hearth: Hearth, serving, letter: Path):
        outcome = hearth("read", letter, "--pages", "2", "--attempts", "1", **serving("silent").settings)
        assert outcome.code == 3
        assert "page 2 failed: The answer is empty" in outcome.err


def test_the_version_is_printed(hearth: Hearth):
    assert replace(hearth, anew=True)("--version").out == f"hearth {version('hearth-pages')}\n"
