"""Clients that leave before they are answered: nothing more is done for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import HTTPException, Request

from flows.api.followed import Followed
from tasks.core.aio import cancel_and_wait


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, Followed]) -> Followed:
    """Do the work of a request whose body was received, as long as somebody waits for the response."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_client_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(499, "The client left before the response.")
    finally:
        await cancel_and_wait(working)
        await cancel_and_wait(leaving)
    return working.result()


async def _client_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
