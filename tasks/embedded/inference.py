"""/api/generate and /api/chat: one page image in, its text out."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response, StreamingResponse

from tasks.embedded import images, wire
from tasks.embedded.answers import NO_IMAGE, Answer, compose, duration_ns, tokenize
from tasks.embedded.errors import BadRequestError, ImageError, RequestError, UnknownModelError
from tasks.embedded.models import Model, Store
from tasks.embedded.replies import failure, now, reply, to_json
from tasks.embedded.runners import Runners
from tasks.embedded.slots import Slots

log = logging.getLogger(__name__)

# Word for word what Ollama passes on from llama-server, whose JSON it wraps in its own.
BAD_IMAGE = '{"error":{"code":400,"message":"Failed to load image or audio file","type":"invalid_request_error"}}'
CRASHED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations"
    " or an internal error, check ollama server logs for details"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the two endpoints ask, each in its own form."""

    prompt: str
    images: list[bytes]
    empty: bool
    """Whether there is nothing to answer: such a request only loads or unloads the model."""
    shape: Callable[[str], dict[str, object]]
    """Puts a piece of the answer where the endpoint has it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been found right."""

    name: str
    """The model as the client wrote it."""
    model: Model
    question: Question
    keep_alive: float | None
    options: wire.Options
    template: object
    stream: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What an inference came to, with the seconds that it had the slot."""

    answer: Answer
    prompt_tokens: int
    prompt_seconds: float
    """Taking in the prompt and checking the images."""
    seconds: float
    """Reading the images and writing the answer."""


class Inference:
    """Answers both endpoints with what the server is made of."""

    def __init__(self, store: Store, runners: Runners, slots: Slots) -> None:
        self._store = store
        self._runners = runners
        self._slots = slots

    async def generate(self, body: bytes) -> Response:
        """Answer /api/generate."""
        return await self._answer(self._parse_generate, body)

    async def chat(self, body: bytes) -> Response:
        """Answer /api/chat. The images read are those of the last message that has any."""
        return await self._answer(self._parse_chat, body)

    async def _answer(self, parse: Callable[[bytes], Request], body: bytes) -> Response:
        started = time.monotonic()
        try:
            request = parse(body)
            if request.question.empty and request.keep_alive == 0:
                self._runners.expire(request.model)
                return reply(_closing(request, "unload"))
            return await self._infer(request, started)
        except ImageError:
            return failure(400, BAD_IMAGE)
        except RequestError as error:
            return failure(error.status, str(error))
        except Exception:
            log.exception("inference failed")
            return failure(500, CRASHED)

    async def _infer(self, request: Request, started: float) -> Response:
        runner = await self._runners.acquire(request.model, request.options.load, request.keep_alive)
        loaded = time.monotonic()
        if request.question.empty:
            runner.release()
            return reply(_closing(request, "load"))
        work = await self._slots.run(partial(_work, request, runner.read), runner.release)
        closing = _closing(request, work.answer.done_reason) | {
            "total_duration": duration_ns(time.monotonic() - started),
            "load_duration": duration_ns(loaded - started),
            "prompt_eval_count": work.prompt_tokens,
            "prompt_eval_duration": duration_ns(work.prompt_seconds),
            "eval_count": work.answer.tokens,
            "eval_duration": duration_ns(work.seconds),
        }
        if request.stream:
            return StreamingResponse(_stream(request, work.answer.text, closing), media_type="application/x-ndjson")
        return reply(closing | request.question.shape(work.answer.text))

    def _parse_generate(self, body: bytes) -> Request:
        data = wire.parse_body(body, wire.GENERATE_FIELDS, "GenerateRequest")
        pictures = wire.parse_images(data.get("images", []))
        if not data.get("model"):
            raise UnknownModelError("model '' not found")
        model = self._model(data)
        prompt = data.get("prompt", "")
        if data.get("raw") and any(data.get(name) for name in ("template", "system", "context")):
            raise BadRequestError("raw mode does not support template, system, or context")
        if data.get("suffix"):
            raise _unsupported(model, "insert")
        written = f"{data.get('system', '')} {prompt}"
        return _request(data, model, Question(written, pictures, not prompt, lambda piece: {"response": piece}))

    def _parse_chat(self, body: bytes) -> Request:
        data = wire.parse_body(body, wire.CHAT_FIELDS, "ChatRequest")
        messages = [
            wire.check_fields(each, wire.MESSAGE_FIELDS, "ChatRequest.messages") for each in data.get("messages", [])
        ]
        pictures = [wire.parse_images(each.get("images", [])) for each in messages]
        if not data.get("model"):
            raise BadRequestError("model is required")
        model = self._model(data)
        if data.get("tools"):
            raise _unsupported(model, "tools")
        written = " ".join(each.get("content", "") for each in messages)
        last = next((each for each in reversed(pictures) if each), [])
        return _request(data, model, Question(written, last, not messages, _said))

    def _model(self, data: Mapping[str, Any]) -> Model:
        model = self._store.find(data["model"])
        if model is None:
            raise UnknownModelError(f"model '{data['model']}' not found")
        return model


def _request(data: Mapping[str, Any], model: Model, question: Question) -> Request:
    think = data.get("think")
    if think not in (None, True, False, "high", "medium", "low"):
        allowed = '(must be "high", "medium", "low", true, or false)'
        raise BadRequestError(f"invalid think value: {json.dumps(think)} {allowed}")
    if think:
        raise BadRequestError(f"{json.dumps(data['model'])} does not support thinking")
    return Request(
        name=data["model"],
        model=model,
        question=question,
        keep_alive=wire.parse_keep_alive(data["keep_alive"]) if "keep_alive" in data else None,
        options=wire.parse_options(data.get("options", {}), shift=data.get("shift", True)),
        template=data.get("format"),
        stream=data.get("stream", True),
    )


def _work(request: Request, read: Callable[[bytes], str]) -> Work:
    """Run in a slot's thread."""
    begun = time.monotonic()
    pages = [images.inspect(each) for each in request.question.images]
    prompt_tokens = len(tokenize(request.question.prompt)) + sum(page.patches for page in pages)
    taken_in = time.monotonic()
    text = "\n\n".join(read(page.data) for page in pages) if pages else NO_IMAGE
    answer = compose(text, request.template, request.options.stop, request.options.num_predict)
    return Work(answer, prompt_tokens, taken_in - begun, time.monotonic() - taken_in)


def _head(request: Request, piece: str) -> dict[str, object]:
    return {"model": request.name, "created_at": now(), **request.question.shape(piece)}


def _closing(request: Request, reason: str) -> dict[str, object]:
    return {**_head(request, ""), "done": True, "done_reason": reason}


def _stream(request: Request, text: str, closing: dict[str, object]) -> Iterator[bytes]:
    """One line of the text at a time: it is all there once the page has been read."""
    for piece in text.splitlines(keepends=True):
        yield to_json({**_head(request, piece), "done": False}) + b"\n"
    yield to_json(closing) + b"\n"


def _said(piece: str) -> dict[str, object]:
    return {"message": {"role": "assistant", "content": piece}}


def _unsupported(model: Model, capability: str) -> BadRequestError:
    return BadRequestError(f"registry.ollama.ai/library/{model.name} does not support {capability}")
