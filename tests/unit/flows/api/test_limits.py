"""Limits of parallel uploads and streams, of their duration, and of bytes on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from flows.api import limits as module
from flows.api.limits import LimitedStream, Limits
from flows.api.settings import ApiSettings
from tasks.core.errors import LimitError
from tests.support.waiting import PATIENCE, until_async


async def _body(*chunks: bytes, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        await then.wait()


def test_an_upload_beyond_the_limit_is_told_to_retry_later():
    limits = Limits(ApiSettings(uploads=1))
    with limits.upload():
        with pytest.raises(HTTPException) as raised, limits.upload():
            pass
        assert (raised.value.status_code, raised.value.headers) == (429, {"Retry-After": "10"})
    with limits.upload():
        pass


async def test_an_upload_that_falls_silent_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    with pytest.raises(HTTPException, match=r"408: No data arrived for 0.05 s"):
        async for _ in Limits(ApiSettings()).body(_body(b"%PDF", then=asyncio.Event())):
            pass


async def test_an_upload_that_is_too_slow_is_refused_at_its_time_limit():
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b"%"
            await asyncio.sleep(0.01)

    with pytest.raises(HTTPException, match=r"408: .* within 0.1 s \(API_UPLOAD_SECONDS\)"):
        async for _ in Limits(ApiSettings(upload_seconds=0.1)).body(dripping()):
            pass


async def test_an_upload_beyond_the_disk_limit_is_refused(tmp_path: Path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "page").write_bytes(bytes(600_000))
    limits = Limits(ApiSettings(directory=tmp_path, disk_gb=0.001))
    await limits.measure()
    assert [len(chunk) async for chunk in limits.body(_body(bytes(300_000)))] == [300_000]
    with pytest.raises(LimitError, match=r"of at most 0.001 GB \(API_DISK_GB\)"):
        async for _ in limits.body(_body(bytes(300_000), bytes(300_000))):
            pass


async def test_simultaneous_uploads_count_together(tmp_path: Path):
    limits = Limits(ApiSettings(directory=tmp_path, disk_gb=0.001))
    first = limits.body(_body(bytes(600_000), bytes(1)))
    await anext(first)
    with pytest.raises(LimitError):
        await anext(limits.body(_body(bytes(600_000))))
    await first.aclose()
    await anext(limits.body(_body(bytes(600_000))))


async def test_a_kept_document_counts_before_the_next_measurement(tmp_path: Path):
    limits = Limits(ApiSettings(directory=tmp_path, disk_gb=0.001))
    limits.stored += 900_000
    with pytest.raises(LimitError):
        await anext(limits.body(_body(bytes(200_000))))


async def test_a_stream_beyond_the_limit_is_told_to_retry_and_an_ended_one_frees_its_place():
    limits, app = Limits(ApiSettings(connections=4)), FastAPI()
    ended, streaming = asyncio.Event(), []

    @app.get("/")
    async def _() -> LimitedStream:
        async def lines() -> AsyncIterator[bytes]:
            streaming.append(1)
            await ended.wait()
            yield b"end"

        return LimitedStream(limits, lines(), {})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
        followed = [asyncio.create_task(client.get("/")) for _ in range(2)]
        await until_async(lambda: len(streaming) == 2)
        assert (await client.get("/")).status_code == 429
        ended.set()
        assert [(await asyncio.wait_for(each, PATIENCE)).text for each in followed] == ["end", "end"]
        assert (await client.get("/")).status_code == 200
