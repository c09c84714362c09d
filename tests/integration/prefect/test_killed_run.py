"""A killed run loses no stored page, and the next run completes the document."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.prefect.conftest import Engine
from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.waiting import PATIENCE, until

PAGES = 12


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    return pdfs.ending_across(tmp_path / "novel.pdf", *(f"Chapter {number}." for number in range(1, PAGES + 1)))


def _stored(directory: Path) -> list[Path]:
    return sorted(directory.glob("results/novel-*/pages/????.json"))


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A run does not read its last page before this exists, so that it is under way when the test ends it."""
    return tmp_path / "gate"


def _under_way(hearth: Hearth, novel: Path, stored: int, **settings: str) -> subprocess.Popen[str]:
    process = hearth.start("read", novel, **settings)

    def enough() -> bool:
        assert process.poll() is None, process.communicate()
        return len(_stored(hearth.directory)) >= stored

    until(enough, every=0.01)
    return process


def _kill_when(hearth: Hearth, novel: Path, engine: Engine, stored: int, number: signal.Signals, delay: float = 0.0):
    process = _under_way(hearth, novel, stored, **engine.settings)
    time.sleep(delay)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    return process.returncode


@pytest.mark.long("kills a run and reads again: 16 s")
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long("the same at other moments")) for seed in (1, 2))]
)
def test_after_kill_9_no_stored_page_is_read_again(hearth: Hearth, serving, novel: Path, gate: Path, seed: int):
    engine = serving("echo", seconds=0.15, gate=gate)
    chance = random.Random(seed)
    code = _kill_when(hearth, novel, engine, chance.randint(1, PAGES - 4), signal.SIGKILL, chance.random() * 0.2)
    assert code == -signal.SIGKILL
    recorded = {path.name: path.read_bytes() for path in _stored(hearth.directory)}

    gate.touch()
    outcome = hearth.read(novel, **engine.settings)

    assert outcome.code == 0, outcome.err
    assert outcome.json["read"] == PAGES
    assert outcome.json["read_now"] == PAGES - len(recorded)
    for name, content in recorded.items():
        assert (outcome.directory / "pages" / name).read_bytes() == content
        assert engine.read[outcome.page(int(name[:4]))["text"]] == 1
    assert len(set(outcome.document.split("\n")) & set(engine.read)) == PAGES
    assert not list(outcome.directory.rglob("*.tmp"))


def test_an_interrupted_run_reports_it_and_keeps_its_pages(hearth: Hearth, serving, novel: Path, gate: Path):
    engine = serving("echo", gate=gate)
    assert _kill_when(hearth, novel, engine, 2, signal.SIGINT) == 130
    stored = len(_stored(hearth.directory))
    assert stored >= 2
    gate.touch()
    assert hearth.read(novel, **engine.settings).json["read_now"] == PAGES - stored


@pytest.mark.long("another run of the command: 5 s")
def test_a_terminated_run_reports_it_and_keeps_its_pages(hearth: Hearth, serving, novel: Path, gate: Path):
    engine = serving("echo", gate=gate)
    assert _kill_when(hearth, novel, engine, 2, signal.SIGTERM) == 143
    assert len(_stored(hearth.directory)) >= 2


@pytest.mark.long("starts a server and kills it: 12 s")
def test_a_run_whose_server_dies_keeps_its_pages(hearth: Hearth, serving, novel: Path, gate: Path):
    engine = serving("echo", gate=gate)
    process = _under_way(hearth, novel, 2, **engine.settings, HEARTH_READ__RETRY_SECONDS="1")
    engine.kill()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "pages stored so far are kept" in err
    assert "Traceback" not in err
    stored = len(_stored(hearth.directory))
    assert hearth.read(novel, **serving("echo").settings).json["read_now"] == PAGES - stored
