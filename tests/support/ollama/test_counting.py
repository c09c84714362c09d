"""The server that counts requests, itself counted."""

from __future__ import annotations

import asyncio
import base64

import httpx
import pymupdf
import pytest

from tests.benchmarks.page_times import write_pdf
from tests.support.ollama.counting import CountingOllama, counting_ollama, most, seconds_within, sent, steps, worked_on
from tests.support.waiting import PATIENCE, until_async


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Page 7, as a request has it."""
    path = tmp_path_factory.mktemp("counting") / "seven.pdf"
    write_pdf(path, 7)
    with pymupdf.open(path) as pdf:
        return base64.b64encode(pdf[6].get_pixmap().tobytes("png")).decode()


async def _ask(server: CountingOllama, image: str, times: int) -> list[httpx.Response]:
    body = {"prompt": "Read.", "images": [image], "keep_alive": "1003s", "model": "a", "stream": False}
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        return await asyncio.gather(*(client.post("/api/generate", json=body) for _ in range(times)))


async def _asked_together(server: CountingOllama, image: str, times: int) -> list[httpx.Response]:
    """None of them ends before all are there."""
    server.stuck.add(7)
    asking = asyncio.create_task(_ask(server, image, times))
    await until_async(lambda: len(server.notes) == times)
    server.stuck.clear()
    return await asking


async def test_it_holds_what_it_does_not_work_on(image: str):
    with counting_ollama(2, 0.2) as server:
        answers = await _asked_together(server, image, 6)
    assert [answer.json()["response"] for answer in answers] == ["The text of page 7."] * 6
    assert {(note.run, note.page, note.status) for note in server.notes} == {(3, 7, 200)}
    assert (most(sent(server.notes)), most(worked_on(server.notes))) == (6, 2)


async def test_a_client_that_goes_gives_its_slot_up(image: str):
    with counting_ollama(1, 0.2) as server:
        server.stuck.add(7)
        asking = asyncio.create_task(_ask(server, image, 1))
        await until_async(lambda: server.notes)
        asking.cancel()
        await until_async(lambda: server.notes[0].ended)
        server.stuck.clear()
        assert (await _ask(server, image, 1))[0].is_success
    assert [note.status for note in server.notes] == [0, 200]
    assert most(sent(server.notes)) == 1


async def test_it_refuses_what_is_too_much_for_it(image: str):
    with counting_ollama(4, 0.3) as server:
        server.refuses = lambda held: 503 if held > 2 else 0
        answers = await _asked_together(server, image, 5)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]


def test_spans_are_counted_by_the_moment():
    spans = [(0.0, 2.0), (1.0, 3.0), (2.0, None)]
    assert steps(spans) == [(0.0, 1), (1.0, 2), (2.0, 1), (2.0, 2), (3.0, 1)]
    assert most(spans) == 2
    assert seconds_within(spans, 0.5, 2.5) == 3.5
