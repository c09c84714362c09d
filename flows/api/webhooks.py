"""Webhooks: a signed message when a run has ended, delivered at least once.

A pending webhook is a file, so that it survives a restart. Of several processes that share a directory, one sends.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from uuid import UUID
from weakref import WeakValueDictionary

import httpx
import stamina
from prefect.client.schemas.objects import State

from flows.api.addresses import resolve_webhook
from flows.api.prefect_state import STATES_PER_REQUEST, is_over
from flows.api.records import read_model, write_whole
from flows.api.runs import Runs
from flows.api.settings import ApiSettings
from flows.api.signature import ID_HEADER, sign
from tasks.core.errors import HearthError, InputError
from tasks.core.file_locks import FileLock, try_exclusive
from tasks.core.jobs import Frozen

POLL_SECONDS = 1.0
_PARALLEL = 64
PARALLEL_PER_RECEIVER = 4
RESPONSE_SECONDS = 10.0
_ATTEMPTS = 5
_RETRY_SECONDS = 300.0
_GIVE_UP_SECONDS = 24 * 3600.0

_log = logging.getLogger("hearth.webhooks")


class _RejectedError(Exception):
    """The receiver responded with an error or a redirect."""


class Pending(Frozen):
    """A webhook that has not been delivered.

    Attributes:
        failing_since: time of the first failed delivery, seconds since the epoch.
    """

    run: UUID
    url: str
    failing_since: float | None = None

    @property
    def id(self) -> str:
        """An id that is the same for the same run and URL, so that a receiver recognizes a repeated webhook."""
        return hashlib.sha256(f"{self.run} {self.url}".encode()).hexdigest()[:32]


class Webhooks:
    """Sends webhooks. Use as an async context manager; those that were not sent stay pending.

    Attributes:
        sending: the webhooks that are being sent, by id.
    """

    def __init__(self, directory: Path, runs: Runs, settings: ApiSettings) -> None:
        self._directory = directory
        self._runs = runs
        self._private = settings.webhook_private
        self._secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret is not None else ""
        self.sending: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._receiver_slots: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    async def check(self, url: str) -> None:
        """Raise InputError if webhooks may not be sent to a URL."""
        if not self._secret:
            raise InputError("This backend sends no webhooks: it has no API_WEBHOOK_SECRET to sign them with.")
        await resolve_webhook(url, private=self._private)

    def add(self, run: UUID, url: str) -> None:
        """Send a webhook when the run has ended."""
        self._store(Pending(run=run, url=url))

    def forget(self, run: UUID) -> None:
        """Drop the webhooks of a run."""
        for pending in webhooks_in(self._directory):
            if pending.run == run:
                self._drop(pending)

    async def __aenter__(self) -> Self:
        # Without a proxy, which would resolve the host's name again.
        self._http = httpx.AsyncClient(timeout=RESPONSE_SECONDS, trust_env=False)
        self._loop = asyncio.create_task(self._deliver())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._loop, *self.sending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._http.aclose()

    async def _deliver(self) -> None:
        lock: FileLock | None = None
        try:
            while True:
                lock = lock or try_exclusive(self._directory / ".lock")
                if lock is not None and self._secret:
                    try:
                        await self._send_due()
                    except Exception as error:  # noqa: BLE001 - if this loop ended, nothing would be sent any more
                        reason = str(error) if isinstance(error, HearthError) else type(error).__name__
                        _log.warning("Webhooks wait: %s", reason)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            if lock is not None:
                lock.release()

    async def _send_due(self) -> None:
        """Start to send the webhooks that are due."""
        for sent in [name for name, task in self.sending.items() if task.done()]:
            if (error := self.sending.pop(sent).exception()) is not None:
                _log.error("A webhook was not sent: %s", type(error).__name__)
                self._not_before[sent] = time.monotonic() + _RETRY_SECONDS
        due = await asyncio.to_thread(self._due, frozenset(self.sending), time.monotonic())
        for at in range(0, len(due), STATES_PER_REQUEST):
            batch = due[at : at + STATES_PER_REQUEST]
            states = await self._runs.states([pending.run for pending in batch])
            for pending in batch:
                if is_over(state := states.get(pending.run)):
                    self.sending[pending.id] = asyncio.create_task(self._send(pending, state))

    def _due(self, sending: frozenset[str], now: float) -> list[Pending]:
        return [
            pending
            for pending in webhooks_in(self._directory)
            if pending.id not in sending and self._not_before.get(pending.id, 0.0) <= now
        ]

    async def _send(self, pending: Pending, state: State[Any] | None) -> None:
        run = self._runs.follow(pending.run)
        if run is None:  # it was deleted
            self._drop(pending)
            return
        body = json.dumps({"webhook": pending.id, **await run.view(state)}).encode()
        failures = (httpx.HTTPError, _RejectedError, TimeoutError)
        try:
            async for attempt in stamina.retry_context(on=failures, attempts=_ATTEMPTS, timeout=None):
                with attempt:
                    # Within an attempt: the pauses between attempts take no slot.
                    async with self._slot(pending.url), self._slots, asyncio.timeout(RESPONSE_SECONDS):
                        await self._post(pending, body)
        except (*failures, InputError) as error:
            self._postpone(pending, error)
        else:
            self._drop(pending)

    def _slot(self, url: str) -> asyncio.Semaphore:
        """Return the semaphore of a receiver, so that a slow one does not take all slots."""
        receiver = httpx.URL(url)
        return self._receiver_slots.setdefault(
            (receiver.scheme, receiver.netloc.decode("ascii")), asyncio.Semaphore(PARALLEL_PER_RECEIVER)
        )

    async def _post(self, pending: Pending, body: bytes) -> None:
        url = httpx.URL(pending.url)
        address = await resolve_webhook(pending.url, private=self._private)
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            ID_HEADER: pending.id,
            **sign(self._secret, body, time.time()),
        }
        async with self._http.stream(
            "POST", url.copy_with(host=address), headers=headers, content=body, extensions={"sni_hostname": url.host}
        ) as response:
            # Redirects are not followed: they could lead anywhere. The error omits the URL, which may contain a secret.
            if not response.is_success:
                raise _RejectedError(f"HTTP {response.status_code}")

    def _postpone(self, pending: Pending, error: Exception) -> None:
        since = pending.failing_since or time.time()
        code = str(error) if isinstance(error, _RejectedError) else type(error).__name__
        if time.time() - since > _GIVE_UP_SECONDS:
            _log.error("The webhook of run %s could not be delivered for a day (%s): it is dropped.", pending.run, code)
            self._drop(pending)
            return
        _log.warning("The webhook of run %s could not be delivered (%s): it is sent again later.", pending.run, code)
        self._not_before[pending.id] = time.monotonic() + _RETRY_SECONDS
        self._store(pending.model_copy(update={"failing_since": since}))

    def _drop(self, pending: Pending) -> None:
        (self._directory / f"{pending.id}.json").unlink(missing_ok=True)
        self._not_before.pop(pending.id, None)

    def _store(self, pending: Pending) -> None:
        write_whole(self._directory / f"{pending.id}.json", pending.model_dump_json())


def webhooks_in(directory: Path) -> Iterator[Pending]:
    """Yield the pending webhooks in a directory, without files that are damaged or have gone."""
    return filter(None, (read_model(path, Pending) for path in directory.glob("*.json")))
