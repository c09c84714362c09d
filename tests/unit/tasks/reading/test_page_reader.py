"""One page, attempt by attempt: what is accepted, what is tried again, and what is stored."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pymupdf
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.core.errors import FailureReason, ModelError, PageError, ServerError, StorageError
from tasks.core.events import Event, PageRetried, PageStarted, RunWarning, subscribe
from tasks.core.flags import FlagName
from tasks.core.jobs import BackendName, Fallback, Plan, ReadOptions
from tasks.documents.pdf import open_document
from tasks.documents.render import Renderer
from tasks.ollama.client import GenerateRequest
from tasks.reading.events import PageDone
from tasks.reading.page_reader import PageReader, temperature_of
from tasks.results.page import PageStatus
from tasks.results.store import ResultStore
from tasks.serving.server_pool import Server
from tasks.settings.reading import LimitSettings, ReadSettings
from tests.support import damaged, pdfs
from tests.support.pooled import pooled
from tests.support.scripted_ollama import (
    DIGEST,
    MODEL,
    Say,
    ScriptedOllama,
    cut,
    fails,
    piece,
    reads,
    says,
    serving,
    streams,
)
from tests.support.waiting import until_async

OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=200, num_ctx=8192, num_predict=4096)
TRUNCATED = reads("And so", done_reason="length", eval_count=4096)
EMPTY = reads("  \n")
LOOP = reads("the same words again and " * 50)


# Temperature


def test_the_first_attempt_is_cold():
    assert temperature_of(1) == 0


@given(st.integers(1, 30))
def test_each_further_attempt_is_hotter_up_to_1(attempt):
    assert temperature_of(attempt) < temperature_of(attempt + 1) or temperature_of(attempt) == 1


# Reading


@pytest.fixture
def server(server: ScriptedOllama) -> Iterator[ScriptedOllama]:
    with stamina.set_testing(True, attempts=3):
        yield server


@dataclass
class Reading:
    """A reader, the plan and the store that it has."""

    reader: PageReader
    plan: Plan
    store: ResultStore
    events: list[Event]
    servers: list[Server]

    async def fails(self, number: int, attempt: int) -> PageError:
        with pytest.raises(PageError) as caught:
            await self.reader.read(number, attempt)
        return caught.value


@asynccontextmanager
async def opened(
    server: ScriptedOllama,
    path: Path,
    *others: str,
    attempts: int = 3,
    slots: int = 2,
    retry_seconds: float = 60,
    fallback: Fallback = Fallback.NONE,
) -> AsyncIterator[Reading]:
    plan = Plan(
        document=open_document(path, LimitSettings()),
        numbers=(1, 2),
        backend=BackendName.URL,
        model=MODEL,
        options=OPTIONS,
        output=path.parent / "results",
        slots=slots,
        attempts=attempts,
        force=False,
        require_gpu=False,
        fallback=fallback,
    )
    store = ResultStore(plan.output)
    store.prepare()
    request = GenerateRequest(MODEL, OPTIONS.num_ctx, OPTIONS.num_predict, 600)
    settings = ReadSettings(retry_seconds=retry_seconds)
    async with (
        Renderer(path, OPTIONS.longest_side, LimitSettings()) as renderer,
        pooled(server.url, *others, home=path.parent, slots=slots, settings=settings) as (servers, joined),
    ):
        reader = PageReader(plan, request, servers=servers, renderer=renderer, store=store, settings=settings)
        events: list[Event] = []
        with subscribe(events.append):
            yield Reading(reader, plan, store, events, joined)


@pytest.fixture
async def reading(server: ScriptedOllama, tmp_path: Path) -> AsyncIterator[Reading]:
    """Of two pages of text, at most three times each."""
    async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one", "two")) as reading:
        yield reading


async def test_a_good_answer_is_stored_with_what_it_took(server, reading):
    server.answers("/api/generate", reads("\n# Title\n\nText.\n\n"))
    await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert (result.status, result.text) == (PageStatus.READ, "# Title\n\nText.")
    assert (result.tokens_in, result.tokens_out, result.timing.eval) == (300, 20, 0.5)
    assert (result.model, result.digest, result.identity) == (MODEL, DIGEST, reading.plan.identity(1, DIGEST))
    assert [(attempt.temperature, attempt.reason) for attempt in result.attempts] == [(0.0, None)]
    assert max(result.width, result.height) == OPTIONS.longest_side


async def test_the_model_gets_the_prompt_and_the_page(server, reading):
    await reading.reader.read(1, 1)
    (body,) = server.asked("/api/generate")
    assert body["prompt"] == OPTIONS.prompt
    (image,) = (Image.open(io.BytesIO(base64.b64decode(image))) for image in body["images"])
    assert max(image.size) == OPTIONS.longest_side


async def test_a_page_is_told_as_it_starts_and_as_it_is_stored(reading):
    await reading.reader.read(1, 1)
    assert reading.events == [PageStarted(1), PageDone(reading.store.page(1))]


async def test_each_attempt_is_hotter_and_all_are_on_record(server, reading):
    server.answers("/api/generate", TRUNCATED, LOOP, reads("At last."))
    await reading.fails(1, 1)
    await reading.fails(1, 2)
    await reading.reader.read(1, 3)
    result = reading.store.page(1)
    assert result.text == "At last."
    assert [body["options"]["temperature"] for body in server.asked("/api/generate")] == [0.0, 0.2, 0.4]
    assert [(attempt.temperature, attempt.reason) for attempt in result.attempts] == [
        (0.0, FailureReason.TRUNCATED),
        (0.2, FailureReason.REPETITION),
        (0.4, None),
    ]


async def test_an_attempt_that_is_not_the_last_is_told_and_not_stored(server, reading):
    server.answers("/api/generate", EMPTY)
    error = await reading.fails(1, 1)
    assert not error.final
    assert reading.store.page(1) is None
    assert reading.events[-1] == PageRetried(1, FailureReason.EMPTY)


async def test_the_last_attempt_is_stored_as_the_pages_failure(server, reading):
    server.answers("/api/generate", EMPTY, EMPTY, TRUNCATED)
    errors = [await reading.fails(1, attempt) for attempt in (1, 2, 3)]
    result = reading.store.page(1)
    assert errors[-1].final
    assert (result.status, result.reason, result.text) == (PageStatus.FAILED, FailureReason.TRUNCATED, "")
    assert "4096 tokens; raise --num-predict" in result.detail
    assert [attempt.reason for attempt in result.attempts] == ["empty", "empty", "truncated"]
    assert reading.events[-1] == PageDone(result)


async def test_a_failed_page_leaves_the_others_be(server, reading):
    server.answers("/api/generate", TRUNCATED, reads("two"))
    await reading.fails(1, 3)
    await reading.reader.read(2, 1)
    assert reading.store.page(2).text == "two"


async def test_a_blank_page_is_stored_without_asking_a_server(server, tmp_path):
    async with opened(server, pdfs.written(tmp_path / "blank.pdf", "")) as reading:
        await reading.reader.read(1, 1)
    assert reading.store.page(1).status is PageStatus.BLANK
    assert server.calls == []


async def test_a_page_that_cannot_be_rendered_fails_at_once(server, tmp_path):
    async with opened(server, pdfs.with_huge_picture(tmp_path / "huge.pdf", 30_000)) as reading:
        error = await reading.fails(1, 1)
    result = reading.store.page(1)
    assert error.final
    assert (result.status, result.reason, len(result.attempts)) == (PageStatus.FAILED, FailureReason.SIZE, 1)
    assert server.calls == []


async def test_a_damaged_page_that_shows_nothing_has_failed_without_a_request(server, tmp_path):
    async with opened(server, damaged.written(tmp_path / "damaged.pdf", damaged.cut)) as reading:
        error = await reading.fails(2, 1)
    result = reading.store.page(2)
    assert error.final
    assert (result.status, result.reason) == (PageStatus.FAILED, FailureReason.DAMAGED)
    assert "premature end of data in flate filter" in result.detail
    assert server.calls == []


async def test_what_is_left_of_a_damaged_page_is_read_and_flagged(server, tmp_path):
    server.answers("/api/generate", reads("Line one"))
    async with opened(server, damaged.pictured(tmp_path / "damaged.pdf", "jpeg", damaged.cut)) as reading:
        await reading.reader.read(2, 1)
    result = reading.store.page(2)
    assert (result.status, result.text) == (PageStatus.READ, "Line one")
    assert [flag.name for flag in result.flags] == [FlagName.DAMAGED]


async def test_a_damaged_page_on_which_nothing_is_found_has_failed_at_once(server, tmp_path):
    """An empty answer would be asked for again, hotter: in vain."""
    server.answers("/api/generate", EMPTY)
    async with opened(server, damaged.pictured(tmp_path / "damaged.pdf", "jpeg", damaged.cut)) as reading:
        error = await reading.fails(2, 1)
    assert (error.final, error.reason) == (True, FailureReason.DAMAGED)
    assert "premature end of file in jpeg" in reading.store.page(2).detail


@pytest.fixture
def dusty(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel is much of these small images."""
    monkeypatch.setattr("tasks.documents.render._DUST", 0.0001)


@pytest.mark.usefixtures("dusty")
async def test_text_that_is_as_faint_as_dust_is_flagged(server, tmp_path):
    server.answers("/api/generate", reads("erom"))
    async with opened(server, pdfs.spotted(tmp_path / "speck.pdf", 0.2)) as reading:
        await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert (result.status, [flag.name for flag in result.flags]) == (PageStatus.READ, [FlagName.FAINT])


@pytest.mark.usefixtures("dusty")
async def test_dust_without_text_is_blank(server, tmp_path):
    server.answers("/api/generate", EMPTY)
    async with opened(server, pdfs.spotted(tmp_path / "speck.pdf", 0.2)) as reading:
        await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert (result.status, result.flags) == (PageStatus.BLANK, ())


def long_page(path: Path) -> Path:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=200, height=2000)
        for row in range(100):
            page.insert_text((20, 20 + 19 * row), f"line {row}")
        pdf.save(path)
    return path


async def test_a_long_page_is_asked_for_strip_by_strip(server, tmp_path):
    server.answers("/api/generate", *(reads(f"strip {number}") for number in range(1, 5)))
    async with opened(server, long_page(tmp_path / "receipt.pdf")) as reading:
        await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert len(server.asked("/api/generate")) == 4
    assert result.text == "strip 1\nstrip 2\nstrip 3\nstrip 4"
    assert (result.flags, result.tokens_in, result.tokens_out) == ((), 1200, 80)
    assert result.height > 4 * result.width


async def test_a_strip_that_was_read_well_is_not_asked_for_again(server, tmp_path):
    server.answers("/api/generate", reads("strip 1"), LOOP, reads("strip 2"), reads("strip 3"), reads("strip 4"))
    async with opened(server, long_page(tmp_path / "receipt.pdf")) as reading:
        await reading.fails(1, 1)
        await reading.reader.read(1, 2)
    assert len(server.asked("/api/generate")) == 5
    assert reading.store.page(1).text == "strip 1\nstrip 2\nstrip 3\nstrip 4"


@pytest.mark.parametrize("passing", [fails(503, "busy"), fails(500, "cudaMalloc failed: out of memory"), cut()])
async def test_a_passing_error_makes_no_attempt_hotter(server, reading, passing):
    """The page is asked for again just as before, and the record tells of it."""
    server.answers("/api/generate", passing, passing, reads("one"))
    await reading.reader.read(1, 1)
    assert [body["options"]["temperature"] for body in server.asked("/api/generate")] == [0.0] * 3
    attempts = reading.store.page(1).attempts
    assert [attempt.reason for attempt in attempts] == [FailureReason.UNAVAILABLE, FailureReason.UNAVAILABLE, None]


async def test_a_server_that_goes_on_failing_ends_the_run_and_stores_nothing(server, reading):
    server.answers("/api/generate", fails(503, "busy"))
    server.answers("/api/version", fails(503, "busy"))
    with pytest.raises(ServerError, match=r"busy.* while page 2 was read.*stand: run again"):
        await reading.reader.read(2, 1)
    assert len(server.asked("/api/generate")) == 3
    assert reading.store.page(2) is None


async def test_a_page_at_which_a_server_fails_that_is_well_otherwise_fails_alone(server, reading):
    server.answers("/api/generate", fails(500, "model runner has unexpectedly stopped"))
    with pytest.raises(PageError) as caught:
        await reading.reader.read(1, 1)
    assert caught.value.final
    assert reading.store.page(1).reason is FailureReason.UNANSWERED


async def test_a_server_that_fails_at_page_after_page_ends_the_run(server, tmp_path):
    server.answers("/api/generate", fails(500, "model runner has unexpectedly stopped"))
    path = pdfs.written(tmp_path / "paper.pdf", *"abcdefghijkl")
    async with opened(server, path) as reading:
        met = []
        for number in range(1, 13):
            try:
                await reading.reader.read(number, 1)
            except PageError:
                met.append(number)
            except ServerError:
                break
    assert len(met) < 12
    assert reading.store.page(len(met) + 1) is None


async def test_without_time_for_it_a_passing_error_is_not_retried(server, tmp_path):
    server.answers("/api/generate", fails(503, "busy"))
    with stamina.set_testing(False):
        async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one"), retry_seconds=0) as reading:
            with pytest.raises(PageError):
                await reading.reader.read(1, 1)
    assert len(server.asked("/api/generate")) == 1


async def test_a_model_that_is_gone_ends_the_run_and_stores_nothing(server, reading):
    server.answers("/api/generate", fails(404, f"model '{MODEL}' not found"))
    with pytest.raises(ModelError, match=r"stopped reading at page 1: .*not found.*stand"):
        await reading.reader.read(1, 1)
    page, load = server.asked("/api/generate")
    assert page["images"]
    assert not load["images"]
    assert reading.store.page(1) is None


async def test_one_answer_in_the_words_of_a_lost_model_fails_its_page_alone(server, reading):
    lost = fails(500, "special token not found")
    server.answers("/api/generate", lost, reads("", done_reason="load"), reads("At last."))
    error = await reading.fails(1, 1)
    assert error.reason is FailureReason.REFUSED
    await reading.reader.read(1, 2)
    assert [attempt.reason for attempt in reading.store.page(1).attempts] == [FailureReason.REFUSED, None]


async def test_a_request_that_is_refused_fails_its_page_alone(server, reading):
    server.answers("/api/generate", fails(400, "image: unknown format"), reads("two"))
    await reading.fails(1, 3)
    await reading.reader.read(2, 1)
    result = reading.store.page(1)
    assert (result.status, result.reason) == (PageStatus.FAILED, FailureReason.REFUSED)
    assert "unknown format" in result.detail
    assert reading.store.page(2).text == "two"


async def test_a_result_that_cannot_be_stored_ends_the_run(reading):
    (reading.store.directory / "pages").rmdir()
    with pytest.raises(StorageError):
        await reading.reader.read(1, 1)


async def test_a_pages_seconds_are_those_in_its_slot(server, tmp_path):
    """Two pages share one slot; with its wait the second would take twice as long as the first."""
    server.answers("/api/generate", serving(2, 0.3))
    async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one", "two"), slots=1) as reading:
        await asyncio.gather(reading.reader.read(1, 1), reading.reader.read(2, 1))
    seconds = [reading.store.page(number).seconds for number in (1, 2)]
    assert max(seconds) < 1.6 * min(seconds)


# Answers that are broken off

BROKEN_OFF = {
    "in one piece": says(model=MODEL, response="Hello." + " jumps19" * 31, done=False),
    "in one piece, of blanks": says(model=MODEL, response=" " * 31, done=False),
    "streamed": streams(*map(piece, ["Hello.", *[" jumps19"] * 31])),
    "streamed, of tokens without a text": streams(*map(piece, [""] * 31)),
}


@pytest.mark.parametrize("say", BROKEN_OFF.values(), ids=BROKEN_OFF)
async def test_an_answer_that_ollama_breaks_off_is_the_pages_own_failure_and_no_mark_against_the_server(
    server, tmp_path, say
):
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


async def test_what_is_no_text_of_the_page_is_taken_out_and_flagged(server, reading):
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


async def test_a_refusal_is_asked_for_again_and_never_the_pages_text(server, tmp_path):
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
async def test_what_is_odd_beside_the_text_costs_no_page(server, reading, odd):
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


async def test_an_error_of_half_a_character_is_on_record(server, reading):
    server.answers("/api/generate", Say(b'{"error": "bad \\ud800 token"}', 400))
    await reading.fails(1, 3)
    assert "bad ? token" in reading.store.page(1).detail


async def test_a_page_larger_than_the_context_names_the_options(server, reading):
    told = "request (35104 tokens) exceeds the available context size (2048 tokens), try increasing it"
    server.answers("/api/generate", fails(400, json.dumps({"error": {"code": 400, "message": told}})))
    error = await reading.fails(1, 1)
    assert error.final
    assert "35104 tokens, and the model's context has 2048. Raise --num-ctx, or lower --longest-side" in str(error)


async def test_a_model_that_thinks_all_the_same_is_told_of_once_and_its_thoughts_are_no_text(server, reading):
    server.answers("/api/generate", streams(piece("", thinking="Hm"), piece("one"), reads("").content))
    await reading.reader.read(1, 1)
    await reading.reader.read(2, 1)
    assert reading.store.page(1).text == "one"
    (warning,) = [event for event in reading.events if isinstance(event, RunWarning)]
    assert "thinks before it answers" in warning.what
    assert "instruct" in warning.what


# What a failed page gave


async def test_without_a_fallback_nothing_is_stored_of_a_failed_page(server, reading):
    server.answers("/api/generate", TRUNCATED)
    await reading.fails(1, 3)
    assert (reading.store.page(1).text, reading.store.page(1).flags) == ("", ())


async def test_with_a_fallback_the_last_text_is_stored_flagged_and_the_page_has_failed(server, tmp_path):
    server.answers("/api/generate", reads("At first", done_reason="length"), TRUNCATED, EMPTY)
    path = pdfs.written(tmp_path / "paper.pdf", "one", "two")
    async with opened(server, path, fallback=Fallback.PARTIAL) as reading:
        for attempt in (1, 2, 3):
            await reading.fails(1, attempt)
    result = reading.store.page(1)
    assert (result.status, result.reason, result.text) == (PageStatus.FAILED, FailureReason.EMPTY, "And so")
    assert [flag.name for flag in result.flags] == [FlagName.PARTIAL]
    assert reading.store.missing(reading.plan, DIGEST) == (1, 2)


def test_the_fallback_is_no_part_of_a_pages_identity(tmp_path):
    document = open_document(pdfs.written(tmp_path / "paper.pdf", "one"), LimitSettings())
    facts = {"document": document, "numbers": (1,), "backend": BackendName.URL, "model": MODEL, "options": OPTIONS}
    facts |= {"output": tmp_path, "slots": 1, "attempts": 1, "force": False, "require_gpu": False}
    assert Plan(**facts).identity(1, DIGEST) == Plan(**facts, fallback=Fallback.PARTIAL).identity(1, DIGEST)
