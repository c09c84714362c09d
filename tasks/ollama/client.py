"""A typed client of Ollama's HTTP API.

Written against Ollama v0.33 (server/routes.go, api/types.go). `tasks.ollama.errors` explains its errors.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from tasks.core.errors import TransientError
from tasks.inference.connection import JsonConnection
from tasks.inference.limits import AnswerLimits, limited
from tasks.inference.schema import Answer, GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress
from tasks.ollama.errors import classify
from tasks.ollama.schema import Loaded, Piece, Shown, Tags, load_body, page_body
from tasks.ollama.stream import AnswerBuilder, most_bytes
from tasks.text.legible import legible


class OllamaClient(JsonConnection):
    """Ollama's API, as far as Hearth uses it.

    Every method raises TransientError when the server is out of reach or busy, or its response is not Ollama's JSON,
    and ModelError when the model is missing or cannot be loaded.
    """

    api = "Ollama"
    classify = staticmethod(classify)

    @property
    def downloads(self) -> bool:
        """Whether it can download models."""
        return True

    async def version(self) -> str:
        """Return the server's version; the cheapest request that shows that it is alive."""
        return legible(str((await self.json("GET", "/api/version")).get("version", "")))

    async def models(self) -> tuple[Model, ...]:
        """Return the models on the server's disk."""
        return self.parse(Tags, await self.json("GET", "/api/tags")).models

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models in the server's memory."""
        return self.parse(Loaded, await self.json("GET", "/api/ps")).models

    async def details(self, model: str) -> ModelDetails:
        """Return the family, size and capabilities of a model."""
        return self.parse(Shown, await self.json("POST", "/api/show", {"model": model})).all_details

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Have the server download a model, and yield its progress.

        Raises:
            ModelError: there is no such model, or no disk space for it. Ollama sends this under HTTP 200.
        """
        body = {"model": model, "stream": True}
        async with aclosing(self.objects("POST", "/api/pull", body, each=True)) as steps:
            async for step in steps:
                yield self.parse(PullProgress, step)

    async def load(self, request: GenerateRequest) -> None:
        """Load the model with the options of later requests. Returns when it is in memory."""
        async with aclosing(self.objects("POST", "/api/generate", load_body(request))) as steps:
            async for step in steps:  # a client that disconnects before the end aborts the load
                if step.get("done"):
                    return

    async def slots(self) -> int:
        """Return 0: Ollama does not tell how many requests it was started for."""
        return 0

    async def generate(
        self,
        request: GenerateRequest,
        prompt: str,
        images: tuple[bytes, ...] = (),
        temperature: float = 0.0,
        *,
        limits: AnswerLimits | None = None,
    ) -> Answer:
        """Return the model's answer to PNG files. The request ends early when the text has entered a loop.

        `limits` are the longest waits; the client's timeout for the whole answer if None. The temperature is 0 for the
        likeliest answer.

        Returns:
            The answer, not `done` if it was broken off by either side.

        Raises:
            PageError: the server refuses this very request (HTTP 400 or 413); another may succeed.
        """
        limits = limits or AnswerLimits.within(self.timeout)
        body, most = page_body(request, prompt, images, temperature), most_bytes(request.num_predict)
        path = "/api/chat" if request.chat else "/api/generate"
        builder = AnswerBuilder(data=bool(request.schema))
        async with (
            limited(self.url, limits) as heard,
            aclosing(self.objects("POST", path, body, limits.longest_silence, most=most)) as lines,
        ):
            async for line in lines:
                heard()
                if builder.add(self.parse(Piece, line), line):
                    break
        answer = builder.answer()
        if answer is None:
            raise TransientError(f"{self.url} broke its answer off.")
        return answer
