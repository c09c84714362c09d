"""Attempts at pages: render, ask, validate, and store the final result."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from tasks.core.errors import FailureReason, PageError
from tasks.core.events import PageRetried, emit
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import Fallback, Plan
from tasks.documents.page_image import PageImage
from tasks.documents.render import Renderer
from tasks.inference.schema import Answer
from tasks.layers.pages import fallback_page
from tasks.models.call import ModelCall
from tasks.models.prompts import images_note, retry_note
from tasks.reading.events import PageDone
from tasks.reading.foreign import foreign_flag, languages_read
from tasks.reading.layer_reader import read_layer
from tasks.reading.page_client import PageClient, Reading
from tasks.reading.strips import StripReader
from tasks.reading.validate import part_of
from tasks.results.page import Attempt, PageResult, PageStatus
from tasks.results.store import ResultStore
from tasks.serving.server_pool import Servers
from tasks.settings.reading import ReadSettings

_FAINT = Flag(name=FlagName.FAINT, detail="Its ink is as faint as dust, or as the other side shining through.")


class PageReader:
    """Reads the pages of one plan on the current servers.

    Args:
        plan: the pages and options.
        call: what is sent for each page.
        idle_seconds: for which the model stays loaded after each request.
        servers: a page waits for one of their slots.
        renderer: makes the images.
        store: stores the results.
        settings: how long transient errors are retried.
    """

    def __init__(
        self,
        plan: Plan,
        call: ModelCall,
        idle_seconds: float,
        *,
        servers: Servers,
        renderer: Renderer,
        store: ResultStore,
        settings: ReadSettings,
    ) -> None:
        self._plan = plan
        self._servers = servers
        self._profile = call.profile
        self._data = bool(call.schema)
        self._languages = () if self._data else languages_read(plan.model)
        self._client = PageClient(servers, call, idle_seconds, settings, self._note)
        self._renderer = renderer
        self._store = store
        self._attempts: dict[int, tuple[Attempt, ...]] = {}
        self._bad: dict[int, Answer] = {}
        self._strips: dict[int, StripReader] = {}
        self._invalid: dict[int, str] = {}

    @property
    def attempts(self) -> int:
        """Maximum attempts at each page."""
        return self._plan.attempts

    @property
    def document(self) -> str:
        """The document's name."""
        return self._plan.document.name

    async def read(self, number: int, attempt: int) -> None:
        """Make one attempt at a page, and store a final result: a good answer, or the last failure.

        Args:
            number: the page, counted from 1.
            attempt: counted from 1; the temperature rises with it.

        Raises:
            PageError: the attempt failed. A `final` failure, or that of the last attempt, has been stored.
            UnavailableError: no server is left, and none will come; nothing was stored.
            StorageError: the result cannot be stored.
        """
        temperature = self._profile.temperature(attempt)
        image: PageImage | None = None
        try:
            image = await self._renderer.page(number)
            if image.blank:
                await self._finish(number, PageStatus.BLANK, image)
                return
            reading = await self._ask(number, image, temperature)
        except PageError as error:
            if image is None:
                failed = Attempt(temperature=temperature, seconds=0.0, reason=error.reason, detail=str(error))
                self._note(number, failed)
            if error.final or attempt >= self._plan.attempts:
                await self._finish(number, PageStatus.FAILED, image, error=error)
                error.final = True
            else:
                emit(PageRetried(number, error.reason))
            raise
        text = reading.answer.response.strip()
        if not image.has_ink and text:
            reading = replace(reading, flags=(*reading.flags, _FAINT))
        if (foreign := foreign_flag(text, self._languages)) is not None:
            reading = replace(reading, flags=(*reading.flags, foreign))
        # The ink may be dust, or the other side shining through: such a page without text is blank.
        await self._finish(number, PageStatus.READ if image.has_ink or text else PageStatus.BLANK, image, reading)

    async def _ask(self, number: int, image: PageImage, temperature: float) -> Reading:
        """Return a page's answer. A damaged page without text has failed, whatever the model says."""
        try:
            if self._data:
                reading = await self._ask_for_data(number, image, temperature)
            elif image.strips:
                reader = self._strips.setdefault(number, StripReader(self._client, number))
                reading = await reader.ask(image, temperature)
            else:
                reading = await self._client.ask(number, image, temperature)
        except PageError as error:
            if not image.damage or error.reason is not FailureReason.EMPTY:
                raise
        else:
            if not image.damage or reading.answer.response.strip():
                return reading
        raise PageError(FailureReason.DAMAGED, f"Nothing on the page can be read. {image.damage}", final=True)

    async def _ask_for_data(self, number: int, image: PageImage, temperature: float) -> Reading:
        """Return a page's data: of all its strips in one request, and with what was wrong with an earlier answer."""
        images = len(image.images)
        note = images_note(images) if images > 1 else ""
        if number in self._invalid:
            note += retry_note(self._invalid[number])
        try:
            return await self._client.ask(number, image, temperature, note)
        except PageError as error:
            if error.reason is FailureReason.INVALID:
                self._invalid[number] = str(error)
            raise

    def _note(self, number: int, attempt: Attempt, bad: Answer | None = None) -> None:
        self._attempts[number] = (*self._attempts.get(number, ()), attempt)
        if self._plan.fallback is not Fallback.PARTIAL or attempt.reason is FailureReason.DECLINED:
            return
        if bad is not None and bad.response.strip():
            self._bad[number] = bad

    async def _finish(
        self,
        number: int,
        status: PageStatus,
        image: PageImage | None,
        reading: Reading | None = None,
        *,
        error: PageError | None = None,
    ) -> None:
        attempts, bad = self._attempts.pop(number, ()), self._bad.pop(number, None)
        part = part_of(bad, self._profile.clean_up) if bad and error else ""
        partial = (Flag(name=FlagName.PARTIAL, detail="the text comes from its last attempts"),) if part else ()
        self._strips.pop(number, None)
        self._invalid.pop(number, None)
        answer = reading.answer if reading else None
        digest = reading.digest if reading else self._servers.digest
        result = PageResult(
            page=number,
            identity=self._plan.identity(number, digest),
            status=status,
            text=answer.response if answer else part,
            data=reading.data if reading else None,
            reason=error.reason if error else None,
            detail=str(error) if error else None,
            model=self._plan.model,
            digest=digest,
            width=image.width if image else 0,
            height=image.height if image else 0,
            dpi=round(image.dpi, 2) if image else 0.0,
            seconds=round(sum(attempt.seconds for attempt in attempts), 6),
            tokens_in=answer.prompt_eval_count if answer else 0,
            tokens_out=answer.eval_count if answer else 0,
            confidence=answer.confidence if answer else None,
            first_seconds=None if answer is None or answer.first_seconds is None else round(answer.first_seconds, 3),
            **({"timing": answer.timing} if answer else {}),
            claims=dict(reading.claims) if reading else {},
            attempts=attempts,
            correction=image.correction if image else None,
            flags=(*(image.flags if image else ()), *(reading.flags if reading else ()), *partial),
            finished_at=datetime.now(UTC),
        )
        if error and self._plan.fallback is Fallback.TEXT_LAYER:
            result = await self._from_layer(result)
        # An interruption does not separate the stored result from its event.
        await asyncio.shield(self._save(result))

    async def _from_layer(self, failed: PageResult) -> PageResult:
        """Return a failed page as read from its text layer, if that has the text of a language; else as it is."""
        text, verdict = await read_layer(self._renderer, failed.page)
        return fallback_page(failed, text, verdict) if text.strip() and verdict.is_language else failed

    async def _save(self, result: PageResult) -> None:
        await asyncio.to_thread(self._store.write_page, result)
        emit(PageDone(result))
