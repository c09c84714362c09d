"""One page, attempt by attempt: what is accepted, what is tried again, and what is stored."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pymupdf
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.core.errors import FailureReason, ModelError, PageError, ServerError, StorageError
from tasks.core.events import Event, PageRetried, PageStarted, subscribe
from tasks.core.flags import FlagName
from tasks.core.jobs import BackendName, Plan, ReadOptions
from tasks.documents.pdf import open_document
from tasks.documents.render import PageImage, Renderer
from tasks.ollama.client import Answer, GenerateRequest
from tasks.reading.events import PageDone
from tasks.reading.page_reader import PageReader, temperature_of
from tasks.reading.validate import loop_turns, validate
from tasks.results.manifest import PageStatus
from tasks.results.store import ResultStore
from tasks.serving.server_pool import Server
from tasks.settings.reading import LimitSettings, ReadSettings
from tests.support import damaged, pdfs
from tests.support.pooled import pooled
from tests.support.scripted_ollama import DIGEST, MODEL, ScriptedOllama, cut, fails, reads, serving

OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=200, num_ctx=8192, num_predict=4096)
TRUNCATED = reads("And so", done_reason="length", eval_count=4096)
EMPTY = reads("  \n")
LOOP = reads("the same words again and " * 50)
INKED = PageImage(b"", 100, 100, 72.0, ink=0.05)
SPECKED = PageImage(b"", 100, 100, 72.0, ink=0.00001)


# Temperature


def test_the_first_attempt_is_cold():
    assert temperature_of(1) == 0


@given(st.integers(1, 30))
def test_each_further_attempt_is_hotter_up_to_1(attempt):
    assert temperature_of(attempt) < temperature_of(attempt + 1) or temperature_of(attempt) == 1


# Judging


def answered(text: str, done_reason: str = "stop") -> Answer:
    return Answer(response=text, done=True, done_reason=done_reason)


def test_a_text_is_accepted():
    validate(answered("# Title\n\nA paragraph."), INKED)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answered("And so", "length"), FailureReason.TRUNCATED),
        (answered(""), FailureReason.EMPTY),
        (answered(" \n\t"), FailureReason.EMPTY),
        (answered("the same words again and " * 50), FailureReason.REPETITION),
        (answered("| a | b |\n" * 100), FailureReason.REPETITION),
    ],
)
def test_a_bad_answer_is_named_by_its_kind_and_may_be_asked_for_again(answer, reason):
    with pytest.raises(PageError) as caught:
        validate(answer, INKED)
    assert caught.value.reason is reason
    assert not caught.value.final


def test_nothing_is_a_right_answer_to_a_speck():
    validate(answered(""), SPECKED)


# Loops

letters = st.characters(categories=["L"])
units = st.builds(
    lambda before, letter, after: before + letter + after,
    st.text(max_size=100),
    letters,
    st.text(max_size=99),
)


@given(st.text(max_size=300), units)
def test_any_words_8_times_and_240_characters_long_are_a_loop(before, unit):
    turns = max(8, -(-240 // len(unit)))
    assert loop_turns(before + unit * turns) >= 8


def test_the_longest_unit_has_200_characters():
    unit = "".join(chr(0x4E00 + number) for number in range(201))
    assert loop_turns(unit[:200] * 8) == 8
    assert loop_turns(unit * 8) == 0


@given(units, st.integers(0, 199))
def test_a_loop_that_is_cut_within_a_turn_is_a_loop(unit, part):
    turns = max(8, -(-240 // len(unit)))
    assert loop_turns(unit * turns + unit[: part % len(unit)]) >= 8


@given(st.lists(st.text(letters, min_size=1, max_size=12), unique=True, max_size=200))
def test_words_that_all_differ_are_no_loop(words):
    assert loop_turns(" ".join(words)) == 0


@given(st.lists(letters, min_size=2, max_size=200, unique=True))
def test_seven_turns_are_no_loop_however_long(unit):
    assert loop_turns("".join(unit) * 7) == 0


@given(st.lists(letters, min_size=1, max_size=20, unique=True))
def test_less_than_240_characters_are_no_loop_however_many_turns(unit):
    assert loop_turns("".join(unit) * (239 // len(unit))) == 0


@pytest.mark.parametrize(
    "text",
    [
        "Contents " + "." * 800,
        "Chapter one " + ". " * 400 + "12",
        "| a | b |\n" + "|---|---|\n" * 100,
        "-" * 1000,
        "_" * 1000,
        "Name: " + "_ " * 500,
        "| | | |\n" * 200,
        "\n" * 1000 + "end",
        "0.00\n" * 300,
        "| 17 | 0.00 | -4,50 |\n" * 100,
        "☐ " * 400,
        "ha" * 110,
        "| closed | closed | closed | closed | closed | closed |\n" * 7,
        "the same words again and " * 50 + "then the text goes on to its proper end.",
    ],
)
def test_what_pages_really_repeat_is_no_loop(text):
    assert loop_turns(text) == 0


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
    server: ScriptedOllama, path: Path, *others: str, attempts: int = 3, slots: int = 2, retry_seconds: float = 60
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
    assert len(server.asked("/api/generate")) == 1
    assert reading.store.page(1) is None


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
