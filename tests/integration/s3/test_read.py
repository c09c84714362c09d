"""`hearth read` and `hearth batch` from and to s3://, end to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.prefect.conftest import Engine, serve
from tests.support import pdfs
from tests.support.aws.buckets import BUCKET, body, keys, make_bucket
from tests.support.aws.front import AwsFront
from tests.support.commands import ROOT, Hearth, Outcome
from tests.support.waiting import PATIENCE, until

WORDS = ("The harbour is quiet in the morning.", "Winter brings fewer ships.")
RESULTS = f"s3://{BUCKET}/results"
PAGES = 12


@pytest.fixture
def s3(aws: AwsFront) -> Any:
    """The bucket's owner."""
    return make_bucket(aws)


@pytest.fixture(name="hearth")
def hearth_with_s3(hearth: Hearth, aws: AwsFront) -> Hearth:
    """The command, to which S3 is the front."""
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A server that takes its time, and notes what it reads."""
    with serve(tmp_path, "echo", 2, {"seconds": 0.15}) as engine:
        yield engine


def put(s3: Any, path: Path) -> str:
    s3.upload_file(str(path), BUCKET, f"inbox/{path.name}")
    return f"s3://{BUCKET}/inbox/{path.name}"


def pages(s3: Any) -> dict[str, bytes]:
    return {key: body(s3, key) for key in keys(s3, "results/") if "/pages/" in key}


def test_a_document_is_read_from_s3_to_s3_and_not_read_again(hearth: Hearth, s3: Any, aws: AwsFront, tmp_path: Path):
    letter = put(s3, pdfs.written(tmp_path / "letter.pdf", *WORDS))
    first = hearth.read(letter, "--output", RESULTS)
    assert first.code == 0, first.err
    output = first.json["output"]
    assert output.startswith(f"{RESULTS}/letter-")
    folder = output.removeprefix(f"s3://{BUCKET}/")
    names = ("document.md", "manifest.json", "pages/0001.json", "pages/0002.json")
    assert keys(s3, "results/") == {f"{folder}/{name}" for name in names}
    text = body(s3, f"{folder}/document.md").decode()
    assert text == f"<!-- page 1 -->\n\n{WORDS[0]}\n\n<!-- page 2 -->\n\n{WORDS[1]}\n\n"
    assert json.loads(body(s3, f"{folder}/manifest.json"))["document"]["path"] == letter

    second = hearth("read", letter, "--output", RESULTS, "--text")
    assert second.code == 0, second.err
    assert second.out == text
    assert f"{output}/document.md" in second.err
    copied = [call for call in aws.called("GET") if call.path.endswith("letter.pdf")]
    assert len(copied) == 2  # once each time
    assert hearth.read(letter, "--output", RESULTS).json["read_now"] == 0


def test_a_missing_bucket_ends_the_command_before_a_run_starts(hearth: Hearth, s3: Any, tmp_path: Path):
    outcome = hearth.read(pdfs.written(tmp_path / "letter.pdf", *WORDS), "-o", "s3://no-such-bucket/x")
    assert outcome.code == 2
    assert "there is no such bucket. Create it, or choose another directory with --output" in outcome.json["error"]


def start(hearth: Hearth, engine: Engine, document: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.aws.quick_locks", "read", document, "--output", RESULTS, "--json"],
        cwd=hearth.directory,
        env={**hearth.environment, **engine.settings, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long("kills a run; test_killed_run does so on disk")
def test_after_kill_9_no_stored_page_is_read_again(hearth: Hearth, engine: Engine, s3: Any, tmp_path: Path):
    novel = put(s3, pdfs.written(tmp_path / "novel.pdf", *(f"Chapter {number}." for number in range(PAGES))))
    killed = start(hearth, engine, novel)
    until(lambda: len(pages(s3)) >= 4 or killed.poll() is not None)
    assert killed.poll() is None, killed.communicate()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    stored = pages(s3)
    assert 4 <= len(stored) < PAGES

    again = start(hearth, engine, novel)
    out, err = again.communicate(timeout=PATIENCE)
    outcome = Outcome(again.returncode, out, err)
    assert outcome.code == 0, outcome.err
    assert outcome.json["read"] == PAGES
    assert 1 <= outcome.json["read_now"] <= PAGES - len(stored)  # S3 may still have got pages that were on their way
    assert stored.items() <= pages(s3).items()
    assert all(engine.read[json.loads(page)["text"]] == 1 for page in stored.values())


@pytest.mark.long("takes 13 s; test_process_batch has it on disk, test_s3_documents in S3")
def test_a_batch_reads_what_is_new_or_changed_in_s3(hearth: Hearth, s3: Any, aws: AwsFront, tmp_path: Path):
    for number in range(3):
        put(s3, pdfs.written(tmp_path / f"{number}.pdf", WORDS[0]))

    def batch() -> dict[str, str]:
        outcome = hearth("batch", f"s3://{BUCKET}/inbox", "-o", RESULTS, "--json")
        assert outcome.code == 0, outcome.err
        return {row["document"].rpartition("/")[2]: row["status"] for row in outcome.json["rows"]}

    assert batch() == dict.fromkeys(("0.pdf", "1.pdf", "2.pdf"), "read")
    put(s3, pdfs.written(tmp_path / "1.pdf", WORDS[1]))
    before = len(aws.calls)
    assert batch() == {"0.pdf": "unchanged", "1.pdf": "read", "2.pdf": "unchanged"}
    copied = [call.path for call in aws.calls[before:] if call.action == "GET" and "/inbox/" in call.path]
    assert [path.rpartition("/")[2] for path in copied] == ["1.pdf"]
    reports = [key for key in keys(s3, "results/batches/") if key.endswith(".md")]
    assert len(reports) == 2
    assert not list(Path(hearth.environment["HEARTH_HOME"]).glob("copies/*"))
