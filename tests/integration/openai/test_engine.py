"""`hearth read` over a real llama-server that is killed, overloaded, shared, and behind a gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import forked_process, pdfs
from tests.support.commands import Hearth
from tests.support.llama_server import LlamaServer, llama_server
from tests.support.openai.gateway import OWN, gateway, loading, refusal
from tests.support.openai.scripted import CHAT
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("reads over a real engine: up to 20 s each")

SLOTS, TOKENS = 2, 500
Process = subprocess.Popen[str] | forked_process.Process
OPTIONS = ("--model", "chain", "--num-predict", str(TOKENS), "--num-ctx", "4096", "--slots", str(SLOTS))
TEXT = "the0 quick1 brown2 fox3"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with llama_server(tmp_path_factory.mktemp("llama") / "log", slots=SLOTS) as running:
        yield running


@pytest.fixture
def at(hearth: Hearth, tmp_path: Path) -> Callable[[str], Hearth]:
    """The command, with a server at an address."""

    def command(url: str) -> Hearth:
        return Hearth(tmp_path, hearth.environment | {"HEARTH_HOME": str(tmp_path / "home"), "HEARTH_URL": url})

    return command


def document(directory: Path, pages: int, name: str = "pages") -> Path:
    return pdfs.written(directory / f"{name}.pdf", *(f"Page {number} of {name}" for number in range(1, pages + 1)))


def stored(directory: Path) -> dict[str, dict[str, Any]]:
    """The pages that are stored below a directory, by file."""
    found = sorted(directory.glob("**/pages/*.json"))
    return {path.name: json.loads(path.read_text()) for path in found}


def ended(process: Process) -> tuple[int, str]:
    out, err = process.communicate(timeout=2 * PATIENCE)
    return process.returncode, out + err


def test_kill_9_of_the_engine_in_the_middle_of_a_run_loses_no_page_and_reads_none_twice(
    at: Callable[[str], Hearth], tmp_path: Path
):
    pages = 16
    with llama_server(tmp_path / "log", slots=SLOTS) as first, gateway(first.url) as front:
        port = int(first.url.rpartition(":")[2])
        command = at(front.url)
        with command.start("read", document(tmp_path, pages), *OPTIONS, "--json") as process:
            until(lambda: len(stored(tmp_path / "results")) >= 5)
            first.kill()
            before = stored(tmp_path / "results")
            with llama_server(tmp_path / "log", slots=SLOTS, port=port):
                code, said = ended(process)
    after = stored(tmp_path / "results")
    assert code == 0, said
    assert len(before) < len(after) == pages
    assert all(page["text"].startswith(TEXT) for page in after.values())
    assert {name: after[name] for name in before} == before
    again = [attempt["reason"] for page in after.values() for attempt in page["attempts"][:-1]]
    assert set(again) <= {"unavailable"}
    assert all(page["attempts"][-1]["reason"] is None for page in after.values())


def test_a_page_too_large_for_the_context_fails_with_what_to_do(at: Callable[[str], Hearth], tmp_path: Path):
    with llama_server(tmp_path / "log", slots=SLOTS, context=512) as small:
        options = ("--model", "chain", "--slots", str(SLOTS), "--prompt", "word " * 400)
        done = at(small.url).read(document(tmp_path, 1), *options)
    assert done.code == 3, done.err
    page = done.page(1)
    assert (page["status"], page["reason"]) == ("failed", "refused")
    assert "and the model's context has 512. Raise --num-ctx, or lower --longest-side." in page["detail"]
    assert len(page["attempts"]) == 1


def test_a_stream_that_is_cut_in_the_middle_is_read_again(
    server: LlamaServer, at: Callable[[str], Hearth], tmp_path: Path
):
    with gateway(server.url, cut=frozenset(range(3, 6))) as front:
        done = at(front.url).read(document(tmp_path, 6), *OPTIONS)
    assert done.code == 0, done.err
    attempts = [attempt for number in range(1, 7) for attempt in done.page(number)["attempts"]]
    assert [attempt["reason"] for attempt in attempts].count("unavailable") >= 1
    assert all(done.page(number)["text"].startswith(TEXT) for number in range(1, 7))


def test_two_runs_share_the_slots_and_neither_waits_for_the_end_of_the_other(
    server: LlamaServer, at: Callable[[str], Hearth], tmp_path: Path
):
    pages = {"first": 40, "second": 12}
    with gateway(server.url, together=frozenset(pages)) as front:
        command = at(front.url)
        runs = []
        for name, count in pages.items():
            headers = json.dumps({OWN: name})
            arguments = ("read", document(tmp_path, count, name), *OPTIONS, "--output", tmp_path / name, "--json")
            runs.append(command.start(*arguments, HEARTH_URL_HEADERS=headers))
        for run in runs:
            with run:
                code, said = ended(run)
                assert code == 0, said
        read = [note for note in front.passed if note.tokens == TOKENS]
    for name, other in (("first", "second"), ("second", "first")):
        first = min(note.began for note in read if note.run == name)
        assert first < max(note.began for note in read if note.run == other)
        assert len(stored(tmp_path / name)) == pages[name]
    assert front.most_at_once(TOKENS) == SLOTS


@pytest.mark.parametrize("status", [401, 403])
def test_a_gateway_that_refuses_the_token_ends_the_run_with_one_sentence(
    server: LlamaServer, at: Callable[[str], Hearth], tmp_path: Path, status: int
):
    def refuse(_path: str, _number: int) -> object:
        return refusal(status, "Invalid API key")

    options = {"token": "right"} if status == 401 else {"trouble": refuse}
    with gateway(server.url, **options) as front:
        done = at(front.url).read(document(tmp_path, 1), *OPTIONS, HEARTH_URL_TOKEN="wrong")
    assert done.code == 1
    assert "refuses access (Invalid API key): the token is not the server's" in done.err
    assert "wrong" not in done.err


def test_a_gateway_with_a_token_that_asks_for_pauses_hides_all_but_the_api_and_loads_its_model_is_read_from(
    server: LlamaServer, at: Callable[[str], Hearth], tmp_path: Path
):
    def trouble(path: str, number: int) -> object:
        if path == CHAT and number % 5 == 0:
            return refusal(429, "Rate limit reached", **{"Retry-After": "1"})
        return loading(2)(path, number)

    hidden = ("/health", "/props", "/slots", "/api/version")
    with gateway(server.url, token="sk-1", hidden=hidden, trouble=trouble) as front:
        done = at(front.url).read(document(tmp_path, 6), *OPTIONS, HEARTH_URL_TOKEN="sk-1")
        assert front.counts["/props"] > 0
    assert done.code == 0, done.err
    assert "Loading model" in done.err
    assert all(done.page(number)["text"].startswith(TEXT) for number in range(1, 7))
