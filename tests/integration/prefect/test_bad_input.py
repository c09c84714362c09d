"""Bad input is reported in one clear line before anything starts, and leaves nothing behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.tools import SmallDisk

pytestmark = pytest.mark.long("each test runs the command: 1 to 4 s")


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


def _file(content: bytes):
    def make(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return make


BAD = {
    "missing": (lambda path: path, (), "does not exist"),
    "directory": (_directory, (), "is a directory"),
    "empty": (_file(b""), (), "is empty"),
    "not-a-pdf": (_file(b"Dear Sir or Madam"), (), "is not a PDF"),
    "truncated": (pdfs.cut_off, (), "is truncated"),
    "damaged": (pdfs.garbled, (), "damaged"),
    "no-pages": (pdfs.without_pages, (), "has no pages"),
    "encrypted": (lambda path: pdfs.encrypted(path, "text", "secret"), (), "--password-env"),
    "password-unset": (lambda path: pdfs.encrypted(path, "text", "secret"), ("--password-env", "NOPE"), "NOPE"),
    "password-wrong": (lambda path: pdfs.encrypted(path, "text", "secret"), ("--password-env", "HOME"), "is wrong"),
    "page-out-of-range": (lambda path: pdfs.written(path, "one"), ("--pages", "1-2"), "the document has 1 page"),
    "pages-not-understood": (lambda path: pdfs.written(path, "one"), ("--pages", "one"), "is invalid"),
    "no-room-for-the-page": (lambda path: pdfs.written(path, "one"), ("--num-ctx", "4096"), "num_ctx"),
    "output-is-a-file": (lambda path: pdfs.written(path, "one"), ("--output", "/etc/hostname"), "--output"),
    "json-and-text": (lambda path: pdfs.written(path, "one"), ("--json", "--text"), "Choose one"),
    "url-unset": (lambda path: pdfs.written(path, "one"), ("--backend", "url"), "HEARTH_URL"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(hearth: Hearth, tmp_path: Path, case: str):
    make, options, told = BAD[case]
    document = make(tmp_path / "document.pdf")
    before = set(tmp_path.rglob("*"))
    outcome = hearth("read", document, *options, HEARTH_HOME=str(tmp_path / "home"))
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert told in outcome.err
    assert outcome.out == ""
    # Where copies of documents are while they are read; there is none any more.
    copies = tmp_path / "home" / "copies"
    assert set(tmp_path.rglob("*")) - {copies, copies.parent} == before


@pytest.mark.parametrize(
    ("setting", "value"), [("LIMITS__PAGES", "1"), ("LIMITS__FILE_MB", "0"), ("SLOTS", "many"), ("BACKEND", "moon")]
)
def test_a_limit_or_a_wrong_setting_is_named(hearth: Hearth, tmp_path: Path, setting: str, value: str):
    document = pdfs.written(tmp_path / "two.pdf", "one", "two")
    outcome = hearth("read", document, **{f"HEARTH_{setting}": value})
    assert outcome.code == 2
    assert f"HEARTH_{setting}" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.always
def test_with_json_the_error_is_json(hearth: Hearth):
    outcome = hearth.read("nowhere.pdf")
    assert outcome.json["status"] == "error"
    assert outcome.json["exit_code"] == outcome.code == 2
    assert "nowhere.pdf" in outcome.json["error"]


def test_a_model_that_does_not_exist_is_exit_code_1(hearth: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "one.pdf", "one")
    outcome = hearth("read", document, "--model", "no-such:model")
    assert outcome.code == 1
    assert "no-such:model" in outcome.err
    assert "--model" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_server_that_does_not_answer_is_exit_code_1(hearth: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "one.pdf", "one")
    nobody = {"LLAMA_API_URL": "http://127.0.0.1:9", "HEARTH_WARM__DEADLINE_SECONDS": "1"}
    outcome = hearth("read", document, **nobody)
    assert outcome.code == 1
    assert "http://127.0.0.1:9" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.long("takes 20 s, with a file system of its own")
def test_a_full_disk_ends_the_run_and_the_next_run_continues(
    hearth: Hearth, serving, small_disk: SmallDisk, tmp_path: Path
):
    engine = serving("wordy", slots=1)
    document = pdfs.written(tmp_path / "long.pdf", *map(str, range(20)))
    within = replace(hearth, prefix=small_disk.prefix)
    full = within("read", document, "--output", small_disk.directory, **engine.settings)
    assert full.code == 1
    assert "No space left on device. Free space and run again" in full.err
    assert "Traceback" not in full.err
    stored = list(small_disk.outside.rglob("0*.json"))
    assert stored
    assert all(json.loads(path.read_text())["status"] == "read" for path in stored)
    assert not list(small_disk.outside.rglob("*.tmp"))

    small_disk.resize("10m")
    roomy = within.read(document, "--output", small_disk.directory, **engine.settings)
    assert roomy.code == 0, roomy.err
    assert roomy.json["read_now"] == 20 - len(stored)
