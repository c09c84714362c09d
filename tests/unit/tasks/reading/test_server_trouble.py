"""A server that fails ends a page or the run, according to whose fault it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import stamina

from tasks.core.errors import FailureReason, ModelError, PageError, ServerError, StorageError, UnavailableError
from tasks.results.page import PageStatus
from tests.support import pdfs
from tests.support.ollama.scripted import Say, cut, fails, reads
from tests.support.ollama.wire import MODEL, Body
from tests.unit.tasks.reading.page_reading import opened

pytestmark = pytest.mark.usefixtures("three_tries")


def only_a_line(refusal: Say) -> Callable[[Body], Awaitable[Say]]:
    """Answer for a server that loads its model and reads a line of text, but no page."""

    async def answer(body: Body) -> Say:
        return refusal if body["images"] and body["options"]["num_predict"] > 1 else reads()

    return answer


@pytest.mark.parametrize("passing", [fails(503, "busy"), fails(500, "cudaMalloc failed: out of memory"), cut()])
async def test_a_transient_error_does_not_raise_the_temperature(server, reading, passing):
    """The page is asked for again just as before, and the record tells of it."""
    server.answers("/api/generate", passing, passing, reads("one"))
    await reading.reader.read(1, 1)
    assert [body["options"]["temperature"] for body in server.asked("/api/generate")] == [0.0] * 3
    attempts = reading.store.page(1).attempts
    assert [attempt.reason for attempt in attempts] == [FailureReason.UNAVAILABLE, FailureReason.UNAVAILABLE, None]


async def test_a_server_that_keeps_failing_ends_the_run_and_stores_nothing(server, reading):
    server.answers("/api/generate", fails(503, "busy"))
    server.answers("/api/version", fails(503, "busy"))
    with pytest.raises(ServerError, match=r"busy.* while page 2 was read.*kept: run again"):
        await reading.reader.read(2, 1)
    assert len([body for body in server.asked("/api/generate") if body["images"]]) == 3
    assert reading.store.page(2) is None


async def test_a_page_at_which_a_healthy_server_fails_fails_alone(server, reading):
    server.answers("/api/generate", only_a_line(fails(500, "model runner has unexpectedly stopped")))
    with pytest.raises(PageError) as caught:
        await reading.reader.read(1, 1)
    assert caught.value.final
    assert reading.store.page(1).reason is FailureReason.UNANSWERED


async def test_a_server_that_fails_at_page_after_page_ends_the_run(server, tmp_path):
    server.answers("/api/generate", only_a_line(fails(500, "model runner has unexpectedly stopped")))
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
    assert 0 < len(met) < 12
    assert reading.store.page(len(met) + 1) is None


async def test_without_time_for_it_a_transient_error_is_not_retried(server, tmp_path):
    server.answers("/api/generate", only_a_line(fails(503, "busy")))
    with stamina.set_testing(False):
        async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one"), retry_seconds=0) as reading:
            with pytest.raises(PageError):
                await reading.reader.read(1, 1)
    page, load, line = server.asked("/api/generate")
    assert (len(page["images"]), len(load["images"]), line["options"]["num_predict"]) == (1, 0, 1)


@pytest.mark.parametrize("refusal", [fails(400, "images are not supported"), fails(500, "failed to process image")])
async def test_a_server_that_reads_no_text_at_all_ends_the_run_at_its_first_page(server, reading, refusal: Say):
    """Otherwise each page of the document would fail by itself."""

    async def no_images(body: Body) -> Say:
        return refusal if body["images"] else reads("")

    server.answers("/api/generate", no_images)
    with pytest.raises(UnavailableError, match=r"page 1.*kept|while page 1 was read"):
        await reading.reader.read(1, 1)
    assert reading.store.page(1) is None


async def test_a_missing_model_ends_the_run_and_stores_nothing(server, reading):
    server.answers("/api/generate", fails(404, f"model '{MODEL}' not found"))
    with pytest.raises(ModelError, match=r"stopped reading at page 1: .*not found.*kept"):
        await reading.reader.read(1, 1)
    page, load = server.asked("/api/generate")
    assert page["images"]
    assert not load["images"]
    assert reading.store.page(1) is None


async def test_one_response_with_the_message_of_a_missing_model_fails_its_page_alone(server, reading):
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
