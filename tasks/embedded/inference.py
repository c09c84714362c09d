"""/api/generate and /api/chat: one page image in, its text out."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from starlette.responses import Response

from tasks.embedded import fields, images, wire
from tasks.embedded.answers import NO_IMAGE, compose, duration_ns, logprobs, token_ids
from tasks.embedded.engine import PageText, Reader
from tasks.embedded.errors import ImageError, RequestError
from tasks.embedded.models import Store
from tasks.embedded.replies import failure, now, reply, streamed, to_json
from tasks.embedded.requests import Request, parse_chat, parse_generate, prompt_tokens
from tasks.embedded.runners import Runners, Slots

log = logging.getLogger(__name__)

Parse: TypeAlias = Callable[[Mapping[str, Any], Store], Request]
Fields: TypeAlias = dict[str, object]

# Verbatim from llama-server: Ollama wraps its JSON in its own.
BAD_IMAGE = '{"error":{"code":400,"message":"Failed to load image or audio file","type":"invalid_request_error"}}'
CRASHED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations"
    " or an internal error, check ollama server logs for details"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: its text, and its last fields."""

    request: Request
    text: str
    done_reason: str
    numbers: Fields
    """Counts and durations; empty if the request only loaded or unloaded the model."""
    confidence: float | None = None
    """The engine's, from 0 to 1; None if it is not known."""


class Inference:
    """Serves both endpoints with the store, the loaded models and the slots."""

    def __init__(self, store: Store, runners: Runners, slots: Slots) -> None:
        self.store = store
        self._runners = runners
        self._slots = slots

    async def generate(self, body: bytes) -> Response:
        """Answer /api/generate."""
        return await self._answer(parse_generate, body, fields.GENERATE_FIELDS, "GenerateRequest")

    async def chat(self, body: bytes) -> Response:
        """Answer /api/chat."""
        return await self._answer(parse_chat, body, fields.CHAT_FIELDS, "ChatRequest")

    async def _answer(self, parse: Parse, body: bytes, fields: Mapping[str, str], struct: str) -> Response:
        try:
            outcome = await self.infer(parse(wire.parse_body(body, fields, struct), self.store))
        except Exception as error:  # noqa: BLE001  each is answered
            return failure(*refusal(error))
        if outcome.numbers and outcome.request.stream:
            return streamed(_lines(outcome), "application/x-ndjson")
        return reply(_closing(outcome) | _piece(outcome, outcome.text))

    async def infer(self, request: Request) -> Outcome:
        """Read the pages of a request, or only load or unload the model.

        Raises:
            RequestError: If the request cannot be served.
        """
        started = time.monotonic()
        if request.question.empty and request.keep_alive == 0:
            self._runners.expire(request.model)
            return Outcome(request, "", "unload", {})
        runner = await self._runners.acquire(request.model, request.options.load, request.keep_alive)
        loaded = time.monotonic()
        if request.question.empty:
            runner.release()
            return Outcome(request, "", "load", {})
        outcome = await self._slots.run(partial(_read, request, runner.read), runner.release)
        total, load = duration_ns(time.monotonic() - started), duration_ns(loaded - started)
        return replace(outcome, numbers={"total_duration": total, "load_duration": load, **outcome.numbers})


def refusal(error: Exception) -> tuple[int, str]:
    """Return the status and the message with which Ollama reports an error."""
    if isinstance(error, ImageError):
        return 400, BAD_IMAGE
    if isinstance(error, RequestError):
        return error.status, str(error)
    log.error("inference failed", exc_info=error)
    return 500, CRASHED


def pieces(text: str) -> list[str]:
    """Split an answer into lines for a stream; it is complete once the page has been read."""
    return text.splitlines(keepends=True)


def _read(request: Request, read: Reader) -> Outcome:
    """Read the pages of a request, in a slot's thread."""
    begun = time.monotonic()
    count = prompt_tokens(request)
    pages = [images.inspect(data) for data in request.question.images]
    checked = time.monotonic()
    texts = [_page_text(read(page.data)) for page in pages] or [PageText(NO_IMAGE)]
    text = "\n\n".join(page.text for page in texts)
    count += sum(page.patches for page in pages)
    answer = compose(text, request.template, request.options.stop, request.options.num_predict)
    numbers: Fields = {
        "prompt_eval_count": count,
        "prompt_eval_duration": duration_ns(checked - begun),
        "eval_count": answer.tokens,
        "eval_duration": duration_ns(time.monotonic() - checked),
    }
    known = [page.confidence for page in texts if page.confidence is not None]
    return Outcome(request, answer.text, answer.done_reason, numbers, min(known, default=None))


def _page_text(read: str | PageText) -> PageText:
    return read if isinstance(read, PageText) else PageText(read)


def _head(request: Request) -> Fields:
    return {"model": request.name, "created_at": now()}


def _piece(outcome: Outcome, piece: str) -> Fields:
    request = outcome.request
    tokens = logprobs(piece, request.top_logprobs, outcome.confidence) if request.logprobs else []
    return request.question.shape(piece) | ({"logprobs": tokens} if tokens else {})


def _closing(outcome: Outcome) -> Fields:
    ending: Fields = {"done": True, "done_reason": outcome.done_reason}
    if outcome.numbers and outcome.request.question.context:
        ending["context"] = token_ids(f"{outcome.request.question.prompt}{outcome.text}")
    return _head(outcome.request) | ending | outcome.numbers


def _lines(outcome: Outcome) -> Iterator[bytes]:
    for piece in pieces(outcome.text):
        yield to_json(_head(outcome.request) | _piece(outcome, piece) | {"done": False}) + b"\n"
    yield to_json(_closing(outcome) | outcome.request.question.shape("")) + b"\n"
