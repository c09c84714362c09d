"""Page image -> PageResult: one attempt at a time, each judged, the last one recorded whatever it is."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import stamina

from tasks.errors import FailureReason, ModelError, PageError, PassingError, ServerError
from tasks.jobs import Plan
from tasks.manifest import Attempt, PageResult, PageStatus
from tasks.ollama_api import Answer, GenerateRequest, OllamaClient
from tasks.progress import PageDone, PageRetried, PageStarted, tell
from tasks.render import PageImage, Renderer
from tasks.results import ResultStore
from tasks.settings import ReadSettings
from tasks.slots import Slots

# A loop is told by its length and its turns: real pages repeat themselves, too, in tables and rules.
_LOOP_TURNS = 8
_LOOP_CHARACTERS = 240
_LOOP_UNIT = 200


class PageReader:
    """Reads the pages of one plan from one server.

    Args:
        plan: what is read.
        digest: the model's.
        request: the options of each request.
    """

    def __init__(
        self,
        plan: Plan,
        digest: str,
        request: GenerateRequest,
        *,
        client: OllamaClient,
        slots: Slots,
        renderer: Renderer,
        store: ResultStore,
        settings: ReadSettings,
    ) -> None:
        self._plan = plan
        self._digest = digest
        self._request = request
        self._client = client
        self._slots = slots
        self._renderer = renderer
        self._store = store
        self._settings = settings
        self._attempts: dict[int, tuple[Attempt, ...]] = {}
        self._unanswered = 0

    def move(self, digest: str, client: OllamaClient, slots: Slots) -> None:
        """Go on with another server. Call it only while no page is being read."""
        self._digest, self._client, self._slots = digest, client, slots
        self._unanswered = 0

    @property
    def attempts(self) -> int:
        """At each page, at the most."""
        return self._plan.attempts

    @property
    def document(self) -> str:
        """The document's name."""
        return self._plan.document.name

    async def read(self, number: int, attempt: int) -> None:
        """Make one attempt at a page and store what is final: a good answer, or the last failure.

        Args:
            number: the page, counted from 1.
            attempt: which one this is, counted from 1; the temperature rises with it.

        Raises:
            PageError: the answer is no good. If it is `final`, or the last attempt, it has been stored.
            UnavailableError: the server or the model is gone; nothing was stored, and no page can be read.
            StorageError: the result cannot be stored.
        """
        temperature = temperature_of(attempt)
        started = time.perf_counter()
        image: PageImage | None = None
        asked = False
        try:
            image = await self._renderer.page(number)
            if image.blank:
                await self._finish(number, PageStatus.BLANK, image)
                return

            def in_slot() -> None:
                nonlocal started, asked
                started, asked = time.perf_counter(), True

            answer = await self._ask(number, image, temperature, in_slot)
            judge(answer, image)
        except asyncio.CancelledError:
            if asked:
                reason = FailureReason.INTERRUPTED
                self._note(number, Attempt(temperature=temperature, seconds=_since(started), reason=reason))
            raise
        except PageError as error:
            self._note(
                number,
                Attempt(temperature=temperature, seconds=_since(started), reason=error.reason, detail=str(error)),
            )
            if error.final or attempt >= self._plan.attempts:
                await self._finish(number, PageStatus.FAILED, image, error=error)
                error.final = True
            else:
                tell(PageRetried(number, error.reason))
            raise
        self._note(number, Attempt(temperature=temperature, seconds=_since(started)))
        await self._finish(number, PageStatus.READ, image, answer)

    async def _ask(self, number: int, image: PageImage, temperature: float, in_slot: Callable[[], None]) -> Answer:
        async def call() -> Answer:
            in_slot()
            tell(PageStarted(number))
            seconds = self._settings.retry_seconds
            async for attempt in stamina.retry_context(
                on=PassingError,
                attempts=None if seconds else 1,
                timeout=seconds or None,
                wait_initial=0.2,
                wait_max=5.0,
            ):
                with attempt:
                    prompt = self._plan.options.prompt
                    return await self._client.generate(self._request, prompt, (image.png,), temperature)
            raise AssertionError("the loop returns or raises")

        try:
            answer = await self._slots.run(call)
        except PassingError as error:
            if await self._server_is_well():
                raise PageError(
                    FailureReason.UNANSWERED, f"{error} It failed at this page alone.", final=True
                ) from None
            raise ServerError(
                f"{error} It went on for {self._settings.retry_seconds:g} s while page {number} was read. "
                "The pages stored so far stand: run again when the server is well."
            ) from None
        except ModelError as error:
            raise ModelError(
                f"The server stopped reading at page {number}: {error}. The pages stored so far stand."
            ) from None

        self._unanswered = 0
        return answer

    async def _server_is_well(self) -> bool:
        """Whether a page that was not answered may be to blame itself: the server answers, and others were read."""
        self._unanswered += 1
        if self._unanswered > self._slots.count:
            return False
        try:
            await self._client.version()
        except PassingError:
            return False
        return True

    def _note(self, number: int, attempt: Attempt) -> None:
        self._attempts[number] = (*self._attempts.get(number, ()), attempt)

    async def _finish(
        self,
        number: int,
        status: PageStatus,
        image: PageImage | None,
        answer: Answer | None = None,
        *,
        error: PageError | None = None,
    ) -> None:
        attempts = self._attempts.pop(number, ())
        result = PageResult(
            page=number,
            identity=self._plan.identity(number, self._digest),
            status=status,
            text=answer.response.strip() if answer else "",
            reason=error.reason if error else None,
            detail=str(error) if error else None,
            model=self._plan.model,
            digest=self._digest,
            width=image.width if image else 0,
            height=image.height if image else 0,
            dpi=round(image.dpi, 2) if image else 0.0,
            seconds=round(sum(attempt.seconds for attempt in attempts), 6),
            tokens_in=answer.prompt_eval_count if answer else 0,
            tokens_out=answer.eval_count if answer else 0,
            **({"timing": answer.timing} if answer else {}),
            attempts=attempts,
            finished_at=datetime.now(UTC),
        )
        # What is stored is also told of, though the run be interrupted just then.
        await asyncio.shield(self._stored(result))

    async def _stored(self, result: PageResult) -> None:
        await asyncio.to_thread(self._store.write_page, result)
        tell(PageDone(result))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 6)


def temperature_of(attempt: int) -> float:
    """0 at first, then 0.2 more at each attempt up to 1, so that a model leaves the rut it was in."""
    return round(min(1.0, 0.2 * (attempt - 1)), 1)


def judge(answer: Answer, image: PageImage) -> None:
    """Accept an answer, or say why it is no good.

    Raises:
        PageError: it was cut off, is empty although the page has ink, or ends in a loop.
    """
    if answer.done_reason == "length":
        raise PageError(
            FailureReason.TRUNCATED, f"The answer was cut off after {answer.eval_count} tokens; raise --num-predict."
        )
    text = answer.response.strip()
    if not text and image.has_ink:
        raise PageError(FailureReason.EMPTY, f"The answer is empty, but {image.ink:.2%} of the page is ink.")
    turns = loop_turns(text)
    if turns:
        raise PageError(FailureReason.REPETITION, f"The answer ends in {turns} turns of the same words.")


def loop_turns(text: str) -> int:
    """How many times over a text repeats its end, if that makes a loop; 0 otherwise.

    A loop is the same unit of at most 200 characters, 8 times and 240 characters long at least. Units without a
    letter are left alone: dot leaders, rules, empty table cells and columns of figures are no loops.
    """
    tail = text[-_LOOP_UNIT * _LOOP_TURNS * 2 :]
    for size in range(1, min(_LOOP_UNIT, len(tail) // _LOOP_TURNS) + 1):
        unit = tail[-size:]
        turns = 1
        while tail[-size * (turns + 1) : -size * turns] == unit:
            turns += 1
        if turns >= _LOOP_TURNS and turns * size >= _LOOP_CHARACTERS and re.search(r"[^\W\d_]", unit):
            return turns
    return 0
