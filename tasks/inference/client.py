"""What Hearth asks of a server of models, whatever API it speaks."""

from collections.abc import AsyncIterator
from typing import Protocol, Self

from tasks.inference.limits import AnswerLimits
from tasks.inference.schema import Answer, GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress


class InferenceClient(Protocol):
    """The calls of one server. Used as an async context manager.

    Every method raises TransientError when the server is out of reach, busy, or answers what is not its API's JSON,
    and ModelError when the model is missing or cannot be loaded.

    Attributes:
        url: of the server.
    """

    url: str

    @property
    def downloads(self) -> bool:
        """Whether it can download models."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def version(self) -> str:
        """Return the server's version, or what it is; the cheapest sign that it is ready."""
        ...

    async def models(self) -> tuple[Model, ...]:
        """Return the models that it has."""
        ...

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models in its memory; none where it does not tell."""
        ...

    async def details(self, model: str) -> ModelDetails:
        """Return what kind of model it is."""
        ...

    def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Have the server download a model, and follow it.

        Raises:
            ModelError: there is no such model, no room for it, or no way to download it.
        """
        ...

    async def load(self, request: GenerateRequest) -> None:
        """Load the model with the options of the requests to come. Returns when it is in memory."""
        ...

    async def slots(self) -> int:
        """Return how many requests it was started for at once; 0 where it does not tell."""
        ...

    async def generate(
        self,
        request: GenerateRequest,
        prompt: str,
        images: tuple[bytes, ...] = (),
        temperature: float = 0.0,
        *,
        limits: AnswerLimits | None = None,
    ) -> Answer:
        """Ask the model, and end the request when its text has got into a loop.

        Args:
            request: the options.
            prompt: what it is told.
            images: PNG files.
            temperature: 0 for the likeliest answer.
            limits: longest waits; the client's timeout for the whole answer if None.

        Returns:
            The answer, not `done` if it was broken off by either side.

        Raises:
            PageError: the server refuses this very request (HTTP 400 or 413); another may pass.
        """
        ...
