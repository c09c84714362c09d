"""A client of OpenAI's HTTP API with the calls that Hearth makes, the same as `tasks.ollama.client.OllamaClient`'s.

Written against llama-server (llama.cpp b1-86a2835) and the documents of vLLM 0.11 (serving/openai_compatible_server),
LM Studio and SGLang. What the API does not have is answered as far as it can be: models are there or not (nothing is
pulled), they are loaded, and no digest is known, so that one is made of what the server says of the model.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from tasks.core.errors import (
    FailureReason,
    HearthError,
    ModelError,
    NoResponseError,
    NotOfferedError,
    PageError,
    ServerError,
    TransientError,
)
from tasks.inference.answer_text import AnswerText
from tasks.inference.connection import JsonConnection
from tasks.inference.schema import Answer, GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress
from tasks.openai.errors import classify
from tasks.openai.schema import Choice, Kind, ListedModel, ModelList, Piece, Props
from tasks.openai.stream import sse_values

_API = "/v1"
_TOKEN_BYTES = 3000
"""Of a streamed event: a token in JSON, beside an id, a name, a fingerprint and the token's probability."""
_STANDARD = {"top_p": "top_p", "presence_penalty": "presence_penalty"}
_SAMPLING = {
    Kind.UNKNOWN: _STANDARD,
    Kind.LLAMA_SERVER: {**_STANDARD, **{name: name for name in ("top_k", "min_p", "repeat_penalty", "repeat_last_n")}},
    Kind.LM_STUDIO: {**_STANDARD, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
    Kind.VLLM: {**_STANDARD, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    Kind.SGLANG: {**_STANDARD, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
}
"""Options by Ollama's names, under each server's own. Sources: llama-server's README, vLLM's and SGLang's documents of
their sampling parameters, LM Studio's of its OpenAI-compatible endpoints."""
_TELL_LOGPROBS = {Kind.LLAMA_SERVER, Kind.VLLM, Kind.SGLANG}
_TEMPLATE_OPTIONS = {Kind.LLAMA_SERVER, Kind.VLLM, Kind.SGLANG}
"""Servers that pass options on to the model's chat template."""


class OpenAIClient(JsonConnection):
    """OpenAI's API, as far as Hearth uses it; its URL may end in `/v1`. See `InferenceClient`."""

    api = "OpenAI's API"
    classify = staticmethod(classify)
    _kind: Kind | None = None

    @property
    def _root(self) -> str:
        return "" if urlsplit(self.url).path.rstrip("/").endswith(_API) else _API

    @property
    def downloads(self) -> bool:
        """Whether it can download models: the API has no call for it."""
        return False

    async def version(self) -> str:
        """Return what the server is; the cheapest sign that it is ready.

        Raises:
            TransientError: it is loading its model (llama-server's and vLLM's /health say so).
        """
        try:
            await self._health()
        except TransientError:
            raise
        except (HearthError, ValueError):
            pass  # it has no /health: its models tell
        listed = await self._listed()
        return str(self._kind_of(listed)) or "OpenAI's API"

    async def models(self) -> tuple[Model, ...]:
        """Return the models that the server offers; their digests are made of what it says of them."""
        return tuple(Model(name=listed.id, digest=listed.digest) for listed in await self._listed())

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Return nothing: the API does not tell what is in memory, nor where."""
        return ()

    async def details(self, model: str) -> ModelDetails:
        """Return what is known of a model: its context in tokens, and on llama-server whether it reads images."""
        listed = next((listed for listed in await self._listed() if listed.id == model), None)
        if listed is None:
            raise ModelError(f"{self.url} does not list it")
        capabilities: tuple[str, ...] = ()
        if listed.kind is Kind.LLAMA_SERVER:
            props = await self._props()
            if props is not None and props.modalities:
                capabilities = ("completion", *(("vision",) if props.modalities.get("vision") else ()))
        return ModelDetails(capabilities=capabilities, context_length=listed.context_length)

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Refuse to download a model, which the API has no call for.

        Raises:
            NotOfferedError: always.
        """
        offered = ", ".join(listed.id for listed in await self._listed()) or "none"
        raise NotOfferedError(
            f"{self.url} does not offer the model {model!r}, and its API cannot download models. "
            f"Choose one of its own with --model: {offered}."
        )
        yield PullProgress()  # makes this a generator, as Ollama's is

    async def load(self, request: GenerateRequest) -> None:
        """Ask for one token, which has servers load the model that load it at its first request.

        Raises:
            ModelError: it cannot be loaded.
        """
        body = {"model": request.model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1}
        try:
            await self.json("POST", f"{self._root}/chat/completions", body)
        except PageError as error:
            raise ModelError(str(error)) from None

    async def slots(self) -> int:
        """Return the requests that a llama-server was started for at once; 0 where the server does not tell."""
        props = await self._props()
        return props.total_slots if props else 0

    async def generate(
        self,
        request: GenerateRequest,
        prompt: str,
        images: tuple[bytes, ...] = (),
        temperature: float = 0.0,
        *,
        seconds: float | None = None,
    ) -> Answer:
        """Ask the model, and end the request when its text has got into a loop; see `OllamaClient.generate`."""
        seconds = self.timeout if seconds is None else seconds
        if self._kind is None:
            self._kind_of(await self._listed())
        body = self._body(request, prompt, images, temperature)
        building = _AnswerBuilder(data=bool(request.schema))
        most = 1_000_000 + _TOKEN_BYTES * request.num_predict
        try:
            async with (
                asyncio.timeout(seconds),
                aclosing(
                    self.objects("POST", f"{self._root}/chat/completions", body, seconds, most=most, decode=sse_values)
                ) as pieces,
            ):
                async for piece in pieces:
                    if building.add(self.parse(Piece, piece)):
                        break
        except TimeoutError:
            raise NoResponseError(f"{self.url} did not answer in time.") from None
        answer = building.answer()
        if answer is None:
            raise TransientError(f"{self.url} broke its answer off.")
        return answer

    def _body(
        self, request: GenerateRequest, prompt: str, images: tuple[bytes, ...], temperature: float
    ) -> dict[str, Any]:
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(image).decode()}"}}
            for image in images
        ]
        if prompt:
            content.append({"type": "text", "text": prompt})
        system = [{"role": "system", "content": request.system}] if request.system else []
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [*system, {"role": "user", "content": content}],
            "max_tokens": request.num_predict,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._sampling(request),
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.schema:
            schema = {"name": "page", "schema": json.loads(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.logprobs and self._kind in _TELL_LOGPROBS:
            body |= {"logprobs": True, "top_logprobs": 1}
        if self._kind in _TEMPLATE_OPTIONS:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        return body

    def _sampling(self, request: GenerateRequest) -> dict[str, float]:
        """Return the options under the names that this server knows; others refuse what they do not know."""
        names = _SAMPLING[self._kind or Kind.UNKNOWN]
        return {names[name]: value for name, value in request.sampling if name in names}

    async def _health(self) -> None:
        """See that the server is ready. vLLM's answer is empty."""
        async with aclosing(self.objects("GET", self._beside("/health"), decode=_anything)) as objects:
            async for _ in objects:
                pass

    async def _props(self) -> Props | None:
        try:
            return self.parse(Props, await self.json("GET", self._beside("/props")))
        except (ServerError, ModelError, PageError):
            return None  # no llama-server, or one that keeps them to itself

    def _beside(self, path: str) -> str:
        """Return the address of what lies beside `/v1`, not under it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(_API)}{path}"

    async def _listed(self) -> tuple[ListedModel, ...]:
        return self.parse(ModelList, await self.json("GET", f"{self._root}/models")).data

    def _kind_of(self, listed: tuple[ListedModel, ...]) -> Kind:
        self._kind = listed[0].kind if listed else Kind.UNKNOWN
        return self._kind


async def _anything(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[dict[str, Any]]:
    """Take in an answer, whatever it is."""
    del most
    async for _ in chunks:
        pass
    return
    yield {}


class _AnswerBuilder:
    """Puts an answer together of its pieces, and ends it when the text has got into a loop, unless it is data."""

    def __init__(self, *, data: bool) -> None:
        self._text = AnswerText(loops=not data)
        self._reason = ""
        self._refusal = ""
        self._facts: dict[str, int] = {}

    def add(self, piece: Piece) -> bool:
        """Take in a piece. Returns whether no more is wanted; counts come after the end."""
        if piece.usage:
            self._facts["prompt_eval_count"] = piece.usage.prompt_tokens
            self._facts["eval_count"] = piece.usage.completion_tokens
        if piece.timings:
            prompt, answer = (int(ms * 1e6) for ms in (piece.timings.prompt_ms, piece.timings.predicted_ms))
            # It does not say how long the request waited for a slot: all the rest of the time, as seen from here.
            total = max(prompt + answer, int(self._text.seconds * 1e9))
            self._facts |= {"prompt_eval_duration": prompt, "eval_duration": answer, "total_duration": total}
        for choice in piece.choices[:1]:
            self._add(choice)
        return self._text.looped

    def _add(self, choice: Choice) -> None:
        added = choice.added
        self._refusal += added.refusal
        self._reason = choice.finish_reason or self._reason
        thinking = added.reasoning_content or added.reasoning
        self._text.add(added.content, thinking, last=bool(choice.finish_reason), logprobs=choice.logprobs)

    def answer(self) -> Answer | None:
        """Return the answer; None if it was broken off without a cause of its own.

        Raises:
            PageError: the model, or what watches it, declined.
        """
        if self._reason == "content_filter" or self._refusal:
            raise PageError(FailureReason.DECLINED, "The server declined to answer for this page (its content filter).")
        if not self._reason and not self._text.looped:
            return None
        reason = "length" if self._reason == "length" else "stop" if self._reason else ""
        counts = {"eval_count": self._text.pieces, **self._facts}
        return Answer(**self._text.fields(), done=bool(self._reason), done_reason=reason, **counts)
