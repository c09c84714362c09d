"""The requests for a page: sent to the least loaded server, repeated while errors pass, moved if a server fails."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import stamina

from tasks.core.errors import FailureReason, MachineLostError, ModelError, PageError, ServerError, TransientError
from tasks.core.events import PageStarted, RunWarning, emit
from tasks.core.flags import Flag
from tasks.documents.page_image import PageImage
from tasks.inference.schema import Answer
from tasks.models.call import ModelCall
from tasks.models.clean_up import Claim
from tasks.reading.data import DataReader
from tasks.reading.validate import validate
from tasks.results.page import Attempt
from tasks.serving.server_pool import Server, Servers
from tasks.settings.reading import ReadSettings


@dataclass(frozen=True)
class Reading:
    """A good answer: the page's text, flags and data, its model's digest, and what the model claims beside."""

    answer: Answer
    digest: str
    flags: tuple[Flag, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    data: Any = None


@dataclass(frozen=True)
class _PageRequest:
    """The request of an attempt at a page."""

    image: PageImage
    prompt: str
    temperature: float


class PageClient:
    """Gets answers for pages from the servers.

    Args:
        servers: each request waits for one of their slots.
        call: what is sent for each page.
        idle_seconds: for which the model stays loaded after each request.
        settings: how long transient errors are retried.
        note: is called for every request that was sent, with the page's number and, if there is one, a bad answer.
    """

    def __init__(
        self,
        servers: Servers,
        call: ModelCall,
        idle_seconds: float,
        settings: ReadSettings,
        note: Callable[[int, Attempt, Answer | None], None],
    ) -> None:
        self._servers = servers
        self._request = call.request(idle_seconds)
        self._prompt = call.prompt
        self._steps = call.profile.clean_up
        self._data = DataReader(call.schema) if call.schema else None
        self._settings = settings
        self._note = note
        self._thinks = False

    async def ask(self, number: int, image: PageImage, temperature: float, note: str = "") -> Reading:
        """Return a good answer, from one server after another, or find the page to blame.

        Args:
            number: of the page.
            image: of the page.
            temperature: of the request.
            note: is added to the prompt.

        Raises:
            PageError: the answer is unusable, or the servers fail at this page alone.
            UnavailableError: no server is left, and none will come.
        """
        request = _PageRequest(image, f"{self._prompt}{note}", temperature)
        while True:
            deadline = _RetryDeadline(self._settings.retry_seconds)
            tried: list[Server] = []
            reading: Reading | None = None
            try:
                async for trial in stamina.retry_context(
                    on=deadline.permits, attempts=None, timeout=None, wait_initial=0.2, wait_max=5.0
                ):
                    with trial:
                        waiting = time.monotonic()
                        async with self._servers.slot(other_than=tuple(tried), at_all=False) as server:
                            deadline.postpone(time.monotonic() - waiting)
                            tried.append(server)
                            reading = await self._try_server(server, number, request, trial.num)
            except TransientError as error:
                await self._blame(tried[-1], number, error)
            if reading is not None:
                return reading

    async def _try_server(self, server: Server, number: int, request: _PageRequest, trial: int) -> Reading | None:
        """Return a server's reading; None if the server is lost, so that another must be tried."""
        try:
            return await self._first_answer(server, number, request, trial)
        except MachineLostError:
            self._servers.leave(server)
            return None
        except ModelError as error:
            refusal = PageError(FailureReason.REFUSED, f"The server refuses this page alone: {error}.")
            why = str(error)
        except PageError as error:
            if error.reason is not FailureReason.REFUSED or self._servers.answered:
                raise
            refusal, why = error, str(error).rstrip(".")
        try:  # it has lost the model, or cannot read with it, or it refuses one page with the same message
            await server.check(self._request)
        except (ModelError, PageError):
            problem = f"The server stopped reading at page {number}: {why}. The pages stored so far are kept."
            self._servers.fail(server, ModelError(problem))
            return None
        raise refusal

    async def _blame(self, server: Server, number: int, error: TransientError) -> None:
        """Mark a server as failed after errors that did not pass, unless the page itself is to blame.

        The page is if the server responds and has not failed at more pages than it serves at once. A server that has
        read nothing yet must read a line of text for it.

        Raises:
            PageError: the page is to blame.
        """
        if server.failure.done():
            return  # by another page
        server.unanswered += 1
        if server.unanswered <= server.share.capacity:
            try:
                await (server.client.version() if self._servers.answered else server.check(self._request))
            except (TransientError, ModelError, PageError):
                pass
            else:
                problem = f"{error} It failed at this page alone."
                raise PageError(FailureReason.UNANSWERED, problem, final=True) from None
        problem = f"{error} It went on for {self._settings.retry_seconds:g} s while page {number} was read."
        remedy = "The pages stored so far are kept: run again when the server is well."
        self._servers.fail(server, ServerError(problem, remedy))

    async def _first_answer(self, server: Server, number: int, request: _PageRequest, trial: int) -> Reading:
        """Return the first reading of a server and, if it takes far longer than for other pages, a second one."""
        emit(PageStarted(number))
        first = asyncio.create_task(self._send(server, number, request, trial))
        calls = {first}
        try:
            await asyncio.wait(calls, timeout=server.pace.straggler_seconds)
            if not first.done() and self._servers.others((server,)):
                calls.add(asyncio.create_task(self._send_elsewhere(server, number, request)))
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

    async def _send_elsewhere(self, server: Server, number: int, request: _PageRequest) -> Reading:
        async with self._servers.slot(other_than=(server,), first=True) as other:
            return await self._send(other, number, request, 1)

    async def _send(self, server: Server, number: int, request: _PageRequest, trial: int) -> Reading:
        """Send one request, validate the answer, and note the attempt."""
        began, started = server.share.now(), time.perf_counter()
        answer: Answer | None = None

        def note(reason: FailureReason | None = None, detail: str | None = None) -> None:
            seconds = round(time.perf_counter() - started, 6)
            attempt = Attempt(temperature=request.temperature, seconds=seconds, reason=reason, detail=detail)
            self._note(number, attempt, answer if reason else None)

        try:
            stretch = 2.0 ** (trial - 1)
            images, prompt = request.image.images, request.prompt
            answer = await server.generate(self._request, prompt, images, request.temperature, stretch)
            self._warn_of_thinking(answer)
            data: Any = None
            if self._data:
                data, page = self._data.read(answer, self._request)
            else:
                page = validate(answer, request.image, self._request, self._steps)
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
        return Reading(answer.model_copy(update={"response": page.text}), server.digest, page.flags, page.claims, data)

    def _warn_of_thinking(self, answer: Answer) -> None:
        """Warn once that the model thinks, although the request turns that off."""
        if answer.thought and not self._thinks:
            self._thinks = True
            emit(
                RunWarning(
                    f"{self._request.model} thinks before it answers, which takes time and tokens of --num-predict. "
                    "Choose an instruct tag of it with --model."
                )
            )


class _RetryDeadline:
    """How long a page's transient errors are retried, from the first one on; waiting for a slot does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def postpone(self, seconds: float) -> None:
        """Add the time of a wait for a slot."""
        if self._until is not None:
            self._until += seconds

    def permits(self, error: Exception) -> bool | float:
        """Return whether to try again after an error, or in how many seconds, where the server says so."""
        if not isinstance(error, TransientError) or not self._seconds:
            return False
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        return time.monotonic() < self._until and (error.retry_after or True)
