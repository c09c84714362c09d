"""`hearth read` on a server that speaks OpenAI's API: a real llama-server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.llama_server import LlamaServer, llama_server

SLOTS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with llama_server(tmp_path_factory.mktemp("llama") / "log", slots=SLOTS) as running:
        yield running


@pytest.fixture
def command(hearth: Hearth, server: LlamaServer, tmp_path: Path) -> Hearth:
    return Hearth(tmp_path, hearth.environment | {"HEARTH_HOME": str(tmp_path / "home"), "HEARTH_URL": server.url})


def test_pages_are_read_over_the_slots_that_it_has(command: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "pages.pdf", *(f"Page {number}" for number in range(1, 5)))
    done = command.read(document, "--model", "chain", "--slots", "4", "--num-predict", "500", "--num-ctx", "4096")
    assert done.code == 0, done.err
    assert done.page(1)["text"].startswith("the0 quick1 brown2 fox3")
    assert done.page(4)["text"].endswith("while99")
    assert "2 of the 4 slots" in done.err
    stored = [done.page(number)["first_seconds"] for number in range(1, 5)]
    told = done.manifest["first_token"]
    assert min(stored) <= told["median"] <= told["p95"] <= max(stored)
    assert json.loads(done.out)["first_token_seconds"] == told


@pytest.mark.long("reads twice: 11 s")
def test_what_was_read_is_found_again_and_nothing_is_asked(command: Hearth, server: LlamaServer, tmp_path: Path):
    document = pdfs.written(tmp_path / "page.pdf", "Page")
    first = command.read(document, "--model", "chain")
    again = command.read(document, "--model", "chain")
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert again.page(1) == first.page(1)


def test_a_model_that_it_does_not_have_is_refused_with_those_that_it_has(command: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "page.pdf", "Page")
    done = command.read(document)
    assert done.code == 1
    assert "does not offer the model 'qwen2.5vl:7b'" in done.err
    assert "Choose one of its own with --model: chain." in done.err
