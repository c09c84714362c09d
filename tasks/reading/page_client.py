"""A page's question: sent to the least loaded server, again while errors pass, elsewhere if one fails or lags."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import stamina

from tasks.core.errors import FailureReason, MachineLostError, ModelError, PageError, ServerError, TransientError
from tasks.core.events import PageStarted, RunWarning, emit
from tasks.core.flags import Flag
from tasks.documents.render import PageImage
from tasks.inference.schema import Answer, GenerateRequest
from tasks.reading.validate import validate
from tasks.results.page import Attempt
from tasks.serving.server_pool import Server, Servers
from tasks.settings.reading import ReadSettings


@dataclass(frozen=True)
class Reading:
    """A good answer with the page's text, the digest of the model that gave it, and what is to be known of it."""

    answer: Answer
    digest: str
    flags: tuple[Flag, ...] = ()


class PageClient:
    """Asks servers about pages.

    Args:
        servers: a page waits for a slot of theirs.
        request: the options of each request.
        prompt: what the model is told.
        settings: how long a page meets errors that pass.
        note: is told of every request that was sent, by the page's number, and of a bad answer to it.
    """

    def __init__(
        self,
        servers: Servers,
        request: GenerateRequest,
        prompt: str,
        settings: ReadSettings,
        note: Callable[[int, Attempt, Answer | None], None],
    ) -> None:
        self._servers = servers
        self._request = request
        self._prompt = prompt
        self._settings = settings
        self._note = note
        self._thinks = False

    async def ask(self, number: int, image: PageImage, temperature: float) -> Reading:
        """Ask, on one server after another, until one answers or the page is found to be to blame.

        Raises:
            PageError: the answer is no good, or none is to be had for this page.
            UnavailableError: no server is left, and none will come.
        """
        while True:
            patience = _Patience(self._settings.retry_seconds)
            tried: list[Server] = []
            reading: Reading | None = None
            try:
                async for trial in stamina.retry_context(
                    on=patience.lasts, attempts=None, timeout=None, wait_initial=0.2, wait_max=5.0
                ):
                    with trial:
                        waiting = time.monotonic()
                        async with self._servers.slot(other_than=tuple(tried), at_all=False) as server:
                            patience.waited(time.monotonic() - waiting)
                            tried.append(server)
                            reading = await self._answered(server, number, image, temperature, trial.num)
            except TransientError as error:
                await self._blame(tried[-1], number, error)
            if reading is not None:
                return reading

    async def _answered(
        self, server: Server, number: int, image: PageImage, temperature: float, trial: int
    ) -> Reading | None:
        """The answer of a server; None if it is lost, so that another must be asked."""
        try:
            return await self._first_answer(server, number, image, temperature, trial)
        except MachineLostError:
            self._servers.leave(server)
            return None
        except ModelError as error:
            await self._see_model(server, number, error)
            return None

    async def _see_model(self, server: Server, number: int, error: ModelError) -> None:
        """Find out whether a server has lost the model, or refuses one page in the same words.

        Raises:
            PageError: it has the model.
            TransientError: it does not say.
        """
        try:
            await server.client.load(replace(self._request, thinks=server.thinks))
        except ModelError:
            told = f"The server stopped reading at page {number}: {error}. The pages stored so far stand."
            self._servers.fail(server, ModelError(told))
            return
        raise PageError(FailureReason.REFUSED, f"The server refuses this page alone: {error}.") from None

    async def _blame(self, server: Server, number: int, error: TransientError) -> None:
        """Find out whether a page or its server is to blame for errors that did not pass.

        Raises:
            PageError: the page is.
        """
        if server.failure.done():
            return  # others found out before
        if await _is_well(server):
            raise PageError(FailureReason.UNANSWERED, f"{error} It failed at this page alone.", final=True) from None
        told = f"{error} It went on for {self._settings.retry_seconds:g} s while page {number} was read."
        remedy = "The pages stored so far stand: run again when the server is well."
        self._servers.fail(server, ServerError(told, remedy))

    async def _first_answer(
        self, server: Server, number: int, image: PageImage, temperature: float, trial: int
    ) -> Reading:
        """Ask one server, and another, too, if it takes far longer than for other pages; the first answer is taken."""
        emit(PageStarted(number))
        asked = asyncio.create_task(self._ask(server, number, image, temperature, trial))
        calls = {asked}
        try:
            await asyncio.wait(calls, timeout=server.pace.straggler_seconds)
            if not asked.done() and self._servers.others((server,)):
                calls.add(asyncio.create_task(self._elsewhere(server, number, image, temperature)))
            while True:
                done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    if call.exception() is None or not calls:
                        return call.result()
        finally:
            for call in calls:
                call.cancel(FailureReason.SLOW)
            if calls:
                await asyncio.wait(calls)

    async def _elsewhere(self, server: Server, number: int, image: PageImage, temperature: float) -> Reading:
        async with self._servers.slot(other_than=(server,), first=True) as other:
            return await self._ask(other, number, image, temperature, 1)

    async def _ask(self, server: Server, number: int, image: PageImage, temperature: float, trial: int) -> Reading:
        """Send one request, and note what came of it."""
        began, started = server.share.now(), time.perf_counter()

        def note(reason: FailureReason | None = None, detail: str | None = None) -> None:
            seconds = round(time.perf_counter() - started, 6)
            attempt = Attempt(temperature=temperature, seconds=seconds, reason=reason, detail=detail)
            self._note(number, attempt, answer if reason else None)

        answer: Answer | None = None
        try:
            stretch = 2.0 ** (trial - 1)
            answer = await server.generate(self._request, self._prompt, image.png, temperature, stretch)
            self._thought(answer)
            found = validate(answer, image, self._request)
        except asyncio.CancelledError as error:
            note(FailureReason.SLOW if error.args == (FailureReason.SLOW,) else FailureReason.INTERRUPTED)
            raise
        except MachineLostError:
            note(FailureReason.INTERRUPTED)
            raise
        except TransientError as error:
            server.trouble(began)
            note(FailureReason.UNAVAILABLE, str(error))
            raise
        except PageError as error:
            note(error.reason, str(error))
            raise
        except ModelError as error:
            note(FailureReason.REFUSED, str(error))
            raise
        note()
        self._servers.answered += 1
        return Reading(answer.model_copy(update={"response": found.text}), server.digest, found.flags)

    def _thought(self, answer: Answer) -> None:
        """Say once that the model thinks, though it was told not to."""
        if answer.thought and not self._thinks:
            self._thinks = True
            told = (
                "thinks before it answers, which takes time and tokens of --num-predict. Choose an instruct tag of it"
            )
            emit(RunWarning(f"{self._request.model} {told} with --model."))


class _Patience:
    """How long a page meets errors that pass, from the first one on; waiting for a slot does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def waited(self, seconds: float) -> None:
        """So long a slot was waited for."""
        if self._until is not None:
            self._until += seconds

    def lasts(self, error: Exception) -> bool:
        """Whether to try again after an error."""
        if not isinstance(error, TransientError) or not self._seconds:
            return False
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        return time.monotonic() < self._until


async def _is_well(server: Server) -> bool:
    """Whether a page that was not answered may be to blame itself: the server answers, and others were read."""
    server.unanswered += 1
    if server.unanswered > server.share.capacity:
        return False
    try:
        await server.client.version()
    except TransientError:
        return False
    return True
