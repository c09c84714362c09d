"""One page, attempt by attempt: what is accepted, what is tried again, and what is stored."""

from __future__ import annotations

import asyncio
import base64
import io

import pytest
from PIL import Image

from tasks.core.errors import FailureReason
from tasks.core.events import PageRetried, PageStarted
from tasks.core.flags import FlagName
from tasks.core.jobs import BackendName, Fallback, Plan
from tasks.documents.pdf import open_document
from tasks.reading.events import PageDone
from tasks.results.page import PageStatus
from tasks.settings.reading import LimitSettings
from tests.support import layers, pdfs
from tests.support.ollama.scripted import reads, serving
from tests.support.ollama.wire import DIGEST, MODEL
from tests.unit.tasks.reading.page_reading import EMPTY, LOOP, OPTIONS, opened

pytestmark = pytest.mark.usefixtures("three_tries")
TRUNCATED = reads("And so", done_reason="length", eval_count=4096)


async def test_a_good_answer_is_stored_with_what_it_took(server, reading):
    server.answers("/api/generate", reads("\n# Title\n\nText.\n\n"))
    await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert (result.status, result.text) == (PageStatus.READ, "# Title\n\nText.")
    assert (result.tokens_in, result.tokens_out, result.timing.eval) == (300, 20, 0.5)
    assert (result.model, result.digest, result.identity) == (MODEL, DIGEST, reading.plan.identity(1, DIGEST))
    assert [(attempt.temperature, attempt.reason) for attempt in result.attempts] == [(0.0, None)]
    assert result.first_seconds is not None
    assert 0 < result.first_seconds <= result.seconds
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


async def test_a_pages_seconds_are_those_in_its_slot(server, tmp_path):
    """Two pages share one slot; with its wait the second would take twice as long as the first."""
    server.answers("/api/generate", serving(2, 0.3))
    async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one", "two"), slots=1) as reading:
        await asyncio.gather(reading.reader.read(1, 1), reading.reader.read(2, 1))
    seconds = [reading.store.page(number).seconds for number in (1, 2)]
    assert max(seconds) < 1.6 * min(seconds)


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


async def test_a_failed_page_is_taken_from_its_text_layer_flagged_and_counts_as_read(server, tmp_path):
    path = layers.prose(tmp_path / "prose.pdf")
    server.answers("/api/generate", EMPTY)
    async with opened(server, path, attempts=1, fallback=Fallback.TEXT_LAYER) as reading:
        await reading.fails(1, 1)
        stored = reading.store.page(1)
    assert (stored.status, stored.source) == (PageStatus.READ, "text-layer-fallback")
    assert stored.text.startswith("A baker who lights the oven")
    assert [flag.name for flag in stored.flags] == ["text-layer-fallback"]
    assert "The model failed (empty)" in stored.flags[0].detail
    assert stored.identity == reading.plan.identity(1, DIGEST)


async def test_a_failed_page_without_a_legible_text_layer_has_failed(server, tmp_path):
    path = layers.shifted(tmp_path / "shifted.pdf")
    server.answers("/api/generate", EMPTY)
    async with opened(server, path, attempts=1, fallback=Fallback.TEXT_LAYER) as reading:
        await reading.fails(1, 1)
        stored = reading.store.page(1)
    assert (stored.status, stored.text, stored.source) == (PageStatus.FAILED, "", "model")


def test_the_fallback_is_no_part_of_a_pages_identity(tmp_path):
    document = open_document(pdfs.written(tmp_path / "paper.pdf", "one"), LimitSettings())
    facts = {"document": document, "numbers": (1,), "backend": BackendName.URL, "model": MODEL, "options": OPTIONS}
    facts |= {"output": tmp_path, "slots": 1, "attempts": 1, "force": False, "require_gpu": False}
    assert Plan(**facts).identity(1, DIGEST) == Plan(**facts, fallback=Fallback.PARTIAL).identity(1, DIGEST)
