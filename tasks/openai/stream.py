"""Server-sent events with JSON in them: what a chat completion that is streamed consists of."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tasks.core.errors import FailureReason, PageError

_END = "[DONE]"
_DONE: dict[str, Any] = {"done": True}


async def sse_values(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[dict[str, Any]]:
    """Yield the JSON objects of an answer, each as soon as it is complete.

    A server that does not stream answers one JSON object instead, which is yielded as it is. Comments and other fields
    of events are skipped (https://html.spec.whatwg.org/multipage/server-sent-events.html). The mark of the end, [DONE],
    is yielded as {"done": true}, and nothing after it is read.

    Args:
        chunks: of the body.
        most: bytes of it.

    Raises:
        PageError: there are more.
        ValueError: there is something else in it.
    """
    data: list[str] = []
    whole: list[str] = []
    streamed = False
    async for line in _lines(chunks, most):
        text = line.rstrip("\r").removeprefix("\ufeff")
        if not text:
            if data:
                value = _object("\n".join(data))
                yield value
                if value is _DONE:
                    return
                data = []
        elif text.startswith("data:"):
            streamed = True
            data.append(text[5:].removeprefix(" "))
        elif not streamed and not text.startswith((":", "event:", "id:", "retry:")):
            whole.append(text)
    if data:  # the empty line that ends an event was left out
        yield _object("\n".join(data))
    elif whole and not streamed:
        yield _object("\n".join(whole))


async def _lines(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[str]:
    """Yield the lines of a body as they end."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise PageError(FailureReason.REFUSED, f"The server's answer is longer than {most / 1e6:.0f} MB.")
        parts.append(chunk)
        if b"\n" not in chunk:  # joined once: a long line may come in many chunks
            continue
        *lines, rest = b"".join(parts).split(b"\n")
        parts = [rest]
        for line in lines:
            yield line.decode(errors="replace")
    if rest := b"".join(parts):
        yield rest.decode(errors="replace")


def _object(text: str) -> dict[str, Any]:
    if text.strip() == _END:
        return _DONE
    try:
        decoded = json.loads(text)
    except RecursionError:
        raise ValueError from None
    if not isinstance(decoded, dict):
        raise ValueError  # noqa: TRY004  the caller's word for what is no answer
    return decoded
