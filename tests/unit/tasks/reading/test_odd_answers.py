"""Answers that are broken off, or odd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tasks.core.errors import FailureReason
from tasks.core.events import RunWarning
from tasks.core.flags import FlagName
from tasks.core.jobs import Fallback
from tasks.results.page import PageStatus
from tests.support import pdfs
from tests.support.ollama.scripted import Say, fails, piece, reads, says, streams
from tests.support.ollama.wire import MODEL
from tests.support.waiting import until_async
from tests.unit.tasks.reading.page_reading import OPTIONS, opened

pytestmark = pytest.mark.usefixtures("three_tries")


# Answers that are broken off

BROKEN_OFF = {
    "in one piece": says(model=MODEL, response="Hello." + " jumps19" * 31, done=False),
    "in one piece, of blanks": says(model=MODEL, response=" " * 31, done=False),
    "streamed": streams(*map(piece, ["Hello.", *[" jumps19"] * 31])),
    "streamed, of tokens without a text": streams(*map(piece, [""] * 31)),
}


@pytest.mark.parametrize("say", BROKEN_OFF.values(), ids=BROKEN_OFF)
async def test_an_answer_that_ollama_breaks_off_fails_the_page_and_not_the_server(server, tmp_path, say):
    server.answers("/api/generate", say, reads("At last."))
    async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one"), slots=1) as reading:
        error = await reading.fails(1, 1)
        await reading.reader.read(1, 2)
        (used,) = reading.servers
        assert not used.failure.done()
        assert (used.unanswered, used.share.limit) == (0, 1)
    assert error.reason is FailureReason.REPETITION
    assert [body["options"]["temperature"] for body in server.asked("/api/generate")] == [0.0, 0.2]
    assert reading.store.page(1).text == "At last."


async def test_a_loop_is_cut_off_while_the_model_writes(server, reading):
    written, left = 0, asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal written
        try:
            while True:
                yield piece(" 0")
                written += 1
                await asyncio.sleep(0)
        finally:
            left.set()

    server.answers("/api/generate", Say(b"", chunks=endless), reads("At last."))
    error = await reading.fails(1, 1)
    await until_async(left.is_set)
    assert error.reason is FailureReason.REPETITION
    assert written < OPTIONS.num_predict
    await reading.reader.read(1, 2)


# Answers that are odd


async def test_text_that_is_not_the_pages_is_removed_and_flagged(server, reading):
    server.answers("/api/generate", reads("Sure! Here is the transcription:\n\n```markdown\n# Title\n```"))
    await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert result.text == "# Title"
    assert [flag.name for flag in result.flags] == [FlagName.CLEANED]


@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "streamed"])
async def test_halves_of_characters_and_nul_are_replaced_and_flagged(server, reading, whole):
    server.answers("/api/generate", replace(reads("a \ud800 b \0 c"), whole=whole))
    await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert result.text == "a \ufffd b \ufffd c"
    assert [flag.name for flag in result.flags] == [FlagName.CLEANED]


async def test_a_refusal_is_requested_again_and_never_the_pages_text(server, tmp_path):
    server.answers("/api/generate", reads("I'm sorry, I can't assist with that."))
    path = pdfs.written(tmp_path / "paper.pdf", "one")
    async with opened(server, path, fallback=Fallback.PARTIAL) as reading:
        errors = [await reading.fails(1, attempt) for attempt in (1, 2, 3)]
    assert [error.reason for error in errors] == [FailureReason.DECLINED] * 3
    result = reading.store.page(1)
    assert (result.status, result.reason, result.text) == (PageStatus.FAILED, FailureReason.DECLINED, "")


@pytest.mark.parametrize(
    "odd",
    [
        {"total_duration": None, "eval_duration": None, "load_duration": None, "prompt_eval_duration": None},
        {"eval_count": None, "prompt_eval_count": "many", "created_at": "yesterday"},
        {"total_duration": 10**400, "eval_count": -1, "eval_duration": 1e300, "created_at": "0001-01-01T00:00:00"},
        {"done_reason": None, "context": "odd", "thinking": None, "error": None},
    ],
)
async def test_odd_fields_beside_the_text_fail_no_page(server, reading, odd):
    server.answers("/api/generate", reads("one", **odd))
    await reading.reader.read(1, 1)
    assert reading.store.page(1).text == "one"


async def test_an_answer_without_end_fails_its_page_alone(server, reading):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000
            await asyncio.sleep(0)  # a chance to see that the client has left

    server.answers("/api/generate", Say(b"", chunks=endless), reads("two"))
    error = await reading.fails(1, 1)
    assert error.reason is FailureReason.REFUSED
    await reading.reader.read(2, 1)


async def test_an_error_with_half_a_character_is_recorded(server, reading):
    server.answers("/api/generate", Say(b'{"error": "bad \\ud800 token"}', 400), reads())
    await reading.fails(1, 3)
    assert "bad ? token" in reading.store.page(1).detail


async def test_a_page_larger_than_the_context_names_the_options(server, reading):
    told = "request (35104 tokens) exceeds the available context size (2048 tokens), try increasing it"
    server.answers("/api/generate", fails(400, json.dumps({"error": {"code": 400, "message": told}})), reads())
    error = await reading.fails(1, 1)
    assert error.final
    assert "35104 tokens, and the model's context has 2048. Raise --num-ctx, or lower --longest-side" in str(error)


async def test_a_model_that_thinks_nevertheless_is_reported_once_and_its_thinking_is_not_text(server, reading):
    server.answers("/api/generate", streams(piece("", thinking="Hm"), piece("one"), reads("").content))
    await reading.reader.read(1, 1)
    await reading.reader.read(2, 1)
    assert reading.store.page(1).text == "one"
    (warning,) = [event for event in reading.events if isinstance(event, RunWarning)]
    assert "thinks before it answers" in warning.message
    assert "instruct" in warning.message
