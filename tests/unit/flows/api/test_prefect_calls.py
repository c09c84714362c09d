"""Retries of calls to Prefect, and how its errors are distinguished."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from flows.api.prefect_state import PrefectCalls, RefusedError
from tasks.core.errors import ServerError
from tests.support.waiting import PATIENCE


class Prefect:
    """STAND-IN for Prefect's API: it answers as the test says, and as it should in the end."""

    def __init__(self, *statuses: int) -> None:
        self.asked = 0
        self.silent = asyncio.Event()
        self._statuses = list(statuses)

    async def answer(self) -> str:
        self.asked += 1
        if self._statuses:
            status = self._statuses.pop(0)
            if not status:
                await self.silent.wait()
            response = httpx.Response(status, request=httpx.Request("POST", "http://prefect"))
            raise PrefectHTTPStatusError.from_httpx_error(
                httpx.HTTPStatusError(f"HTTP {status}", request=response.request, response=response)
            )
        return "the answer"


def _calls(seconds: float = PATIENCE) -> PrefectCalls:
    return PrefectCalls(cast("Any", None), seconds)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.api.prefect_state.RETRY_SECONDS", 0.001)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
async def test_a_call_is_repeated_after_a_transient_error(at_once: None, status: int):
    prefect = Prefect(status, status, status)
    assert await _calls().call(prefect.answer) == "the answer"
    assert prefect.asked == 4


async def test_a_call_is_repeated_after_a_broken_connection(at_once: None):
    broken = iter([httpx.ConnectError("refused"), httpx.ReadError("reset")])

    async def ask() -> str:
        for error in broken:
            raise error
        return "the answer"

    assert await _calls().call(ask) == "the answer"


async def test_a_call_that_prefect_refuses_is_not_repeated(at_once: None):
    prefect = Prefect(401)
    with pytest.raises(ServerError, match="Prefect does not respond"):
        await _calls().call(prefect.answer)
    assert prefect.asked == 1


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_a_rejected_request_has_an_error_of_its_own(at_once: None, status: int):
    with pytest.raises(RefusedError, match=f"HTTP {status}"):
        await _calls().call(Prefect(status).answer)


@pytest.mark.parametrize("status", [503, 0], ids=["always busy", "silent"])
async def test_a_lasting_error_is_raised_at_the_time_limit(at_once: None, status: int):
    with pytest.raises(ServerError, match="Prefect does not respond"):
        await _calls(0.05).call(Prefect(*[status] * 10_000).answer)
