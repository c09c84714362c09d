"""A client of OpenAI's HTTP API, with the calls of `tasks.inference.client.InferenceClient`.

Written against llama-server (llama.cpp b1-86a2835) and the documents of vLLM 0.11 (serving/openai_compatible_server),
LM Studio and SGLang. What the API does not have is answered as far as it can be: models are there or not (nothing is
pulled), they are loaded, and no digest is known, so that one is made of what the server says of the model.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from tasks.core.errors import (
    HearthError,
    ModelError,
    NotOfferedError,
    PageError,
    ServerError,
    TransientError,
)
from tasks.inference.connection import JsonConnection
from tasks.inference.limits import AnswerLimits, limited
from tasks.inference.names import find_model
from tasks.inference.schema import Answer, GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress
from tasks.openai.answer import AnswerBuilder
from tasks.openai.errors import classify
from tasks.openai.request import load_body, most_bytes, page_body
from tasks.openai.schema import Kind, ListedModel, ModelList, Piece, Props
from tasks.openai.stream import sse_values

_API = "/v1"
_MOST_OFFERED = 10
"""Models that a message lists, those with the most similar names."""


class OpenAIClient(JsonConnection):
    """OpenAI's API, as far as Hearth uses it; its URL may end in `/v1`. See `InferenceClient`."""

    api = "OpenAI's API"
    classify = staticmethod(classify)
    _kind: Kind | None = None

    @cached_property
    def _names(self) -> dict[str, str]:
        """The server's notation of models' names, by that of requests."""
        return {}

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
        await self._listed()
        return str(self._kind or self.api)

    async def models(self) -> tuple[Model, ...]:
        """Return the models that the server offers; their digests are made of what it says of them."""
        return tuple(Model(name=listed.name, digest=listed.digest) for listed in await self._listed())

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Return nothing: the API does not tell what is in memory, nor where."""
        return ()

    async def details(self, model: str) -> ModelDetails:
        """Return a model's context in tokens, its weights' name, and whether it reads images, as far as they are told.

        vLLM and llama-server tell the weights, llama-server alone what it reads.
        """
        listed = find_model(model, await self._listed())
        if listed is None:
            raise ModelError(f"{self.url} does not list it")
        capabilities: tuple[str, ...] = ()
        weights = listed.root
        if listed.kind is Kind.LLAMA_SERVER:
            props = await self._props()
            if props is not None and props.modalities:
                capabilities = ("completion", *(("vision",) if props.modalities.get("vision") else ()))
            weights = props.model_path if props else ""
        return ModelDetails(capabilities=capabilities, context_length=listed.context_length, weights=weights)

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Refuse to download a model, which the API has no call for.

        Raises:
            NotOfferedError: always.
        """
        names = [listed.name for listed in await self._listed()]
        offered = ", ".join(get_close_matches(model, names, _MOST_OFFERED, cutoff=0.0)) or "none"
        if len(names) > _MOST_OFFERED:
            offered = f"{offered}, and {len(names) - _MOST_OFFERED} more"
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
        try:
            body = load_body(await self._as_listed(request))
            async with aclosing(
                self.objects("POST", f"{self._root}/chat/completions", body, decode=sse_values)
            ) as pieces:
                async for _ in pieces:
                    pass
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
        limits: AnswerLimits | None = None,
    ) -> Answer:
        """Ask the model, and end the request when its text has got into a loop; see `OllamaClient.generate`."""
        limits = limits or AnswerLimits.within(self.timeout)
        request = await self._as_listed(request)
        body = page_body(self._kind or Kind.UNKNOWN, request, prompt, images, temperature)
        builder = AnswerBuilder(request.num_predict, data=bool(request.schema))
        most = most_bytes(request.num_predict)
        path, silence = f"{self._root}/chat/completions", limits.longest_silence
        try:
            async with (
                limited(self.url, limits) as heard,
                aclosing(self.objects("POST", path, body, silence, most=most, decode=sse_values)) as pieces,
            ):
                async for piece in pieces:
                    heard()
                    if builder.add(self.parse(Piece, piece)):
                        break
        except TransientError:
            if not builder.complete:  # else only its counts can be missing
                raise
        answer = builder.answer()
        if answer is None:
            raise TransientError(f"{self.url} broke its answer off.")
        return answer

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
        listed = self.parse(ModelList, await self.json("GET", f"{self._root}/models")).data
        self._kind = listed[0].kind if listed else Kind.UNKNOWN
        return listed

    async def _as_listed(self, request: GenerateRequest) -> GenerateRequest:
        """Return a request with the server's own notation of the model's name, which servers compare to the letter."""
        if request.model not in self._names:
            found = find_model(request.model, await self._listed())
            self._names[request.model] = found.name if found else request.model
        return replace(request, model=self._names[request.model])


async def _anything(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[dict[str, Any]]:
    """Take in an answer, whatever it is."""
    del most
    async for _ in chunks:
        pass
    return
    yield {}
