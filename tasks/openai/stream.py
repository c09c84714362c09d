"""Server-sent events with JSON in them: what a chat completion that is streamed consists of."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tasks.core.errors import FailureReason, PageError

_END = "[DONE]"


async def sse_values(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[dict[str, Any]]:
    """Yield the JSON objects of an answer, each as soon as it is complete.

    A server that does not stream answers one JSON object instead, which is yielded as it is. Comments and other fields
    of events are skipped (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Args:
        chunks: of the body.
        most: bytes of it.

    Raises:
        PageError: there are more.
        ValueError: there is something else in it.
    """
    data: list[str] = []
    whole: list[str] = []
    ended = False
    async for line in _lines(chunks, most):
        text = line.rstrip("\r")
        if not text:
            if data:
                value = "\n".join(data)
                data = []
                if value.strip() == _END:
                    ended = True
                else:
                    yield _object(value)
        elif text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text.startswith((":", "event:", "id:", "retry:")):
            whole.append(text)
    if data and "\n".join(data).strip() != _END:  # the empty line that ends an event was left out
        yield _object("\n".join(data))
    elif whole and not ended:
        yield _object("\n".join(whole))


async def _lines(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[str]:
    """Yield the lines of a body as they end."""
    rest = b""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise PageError(FailureReason.REFUSED, f"The server's answer is longer than {most / 1e6:.0f} MB.")
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _object(text: str) -> dict[str, Any]:
    try:
        decoded = json.loads(text)
    except RecursionError:
        raise ValueError from None
    if not isinstance(decoded, dict):
        raise ValueError  # noqa: TRY004  the caller's word for what is no answer
    return decoded
