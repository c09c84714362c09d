"""Webhooks: a signed message when a run has ended, at least once.

What is still to be sent is a file each, so that a backend that was stopped or killed goes on with it. Of several
processes over one directory, one sends.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID
from weakref import WeakValueDictionary

import httpx
import stamina
from prefect.client.schemas.objects import State
from pydantic import ValidationError

from flows.api.addresses import resolved
from flows.api.prefect_state import ASKED_AT_ONCE, is_over
from flows.api.records import write_whole
from flows.api.runs import Runs
from flows.api.settings import ApiSettings
from flows.api.signature import ID_HEADER, sign
from tasks.core.errors import HearthError, InputError
from tasks.core.jobs import Frozen
from tasks.storage.file_locks import FileLock, try_exclusive

_LOOK_SECONDS = 1.0
_SENT_AT_ONCE = 64
_SENT_TO_ONE = 4
_ANSWER_SECONDS = 10.0
_ATTEMPTS = 5
_AGAIN_SECONDS = 300.0
_GIVE_UP_SECONDS = 24 * 3600.0

_log = logging.getLogger("hearth.webhooks")


class _NotTakenError(Exception):
    """The receiver answered, but not that it took the webhook."""


class Pending(Frozen):
    """A webhook that is still to be sent.

    Attributes:
        failing_since: when it could not be delivered first, seconds since the epoch.
    """

    run: UUID
    url: str
    failing_since: float | None = None

    @property
    def id(self) -> str:
        """The same for the same run and address: by it a receiver knows one that comes twice."""
        return hashlib.sha256(f"{self.run} {self.url}".encode()).hexdigest()[:32]


class Webhooks:
    """Sends them. Use as an async context manager.

    Args:
        directory: of what is pending; it exists.
        runs: what they tell of.
        settings: the secret, and where they may go.
    """

    def __init__(self, directory: Path, runs: Runs, settings: ApiSettings) -> None:
        self._directory = directory
        self._runs = runs
        self._private = settings.webhook_private
        self._secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret is not None else ""
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._lanes = asyncio.Semaphore(_SENT_AT_ONCE)
        self._of_receivers: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    async def check(self, url: str) -> None:
        """Find out whether a webhook may be sent there.

        Raises:
            InputError: it may not.
        """
        if not self._secret:
            raise InputError("No webhooks are sent: this backend has no API_WEBHOOK_SECRET to sign them with.")
        await resolved(url, private=self._private)

    def add(self, run: UUID, url: str) -> None:
        """Send one when the run has ended."""
        self._keep(Pending(run=run, url=url))

    def forget(self, run: UUID) -> None:
        """Send none of a run that is deleted."""
        for path in self._directory.glob("*.json"):
            pending = read_pending(path)
            if pending is not None and pending.run == run:
                path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        """Begin to send."""
        # Not by way of a proxy: it would look the host's name up again.
        self._http = httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False)
        self._loop = asyncio.create_task(self._deliver())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what was not sent stays pending."""
        tasks = [self._loop, *self._sending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._http.aclose()

    async def _deliver(self) -> None:
        turn: FileLock | None = None
        try:
            while True:
                turn = turn or try_exclusive(self._directory / ".lock")
                if turn is not None and self._secret:
                    try:
                        await self._look()
                    except Exception as error:  # noqa: BLE001 - if this loop ended, none would be sent any more
                        told = str(error) if isinstance(error, HearthError) else type(error).__name__
                        _log.warning("Webhooks wait: %s", told)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if turn is not None:
                turn.release()

    async def _look(self) -> None:
        """Begin to send what is due."""
        for sent in [name for name, task in self._sending.items() if task.done()]:
            if (error := self._sending.pop(sent).exception()) is not None:
                _log.error("A webhook was not sent: %s", type(error).__name__)
                self._not_before[sent] = time.monotonic() + _AGAIN_SECONDS
        due = await asyncio.to_thread(self._due, frozenset(self._sending), time.monotonic())
        for at in range(0, len(due), ASKED_AT_ONCE):
            some = due[at : at + ASKED_AT_ONCE]
            states = await self._runs.states([pending.run for pending in some])
            for pending in some:
                if is_over(state := states.get(pending.run)):
                    self._sending[pending.id] = asyncio.create_task(self._send(pending, state))

    def _due(self, sending: frozenset[str], now: float) -> list[Pending]:
        return [
            pending
            for path in self._directory.glob("*.json")
            if path.stem not in sending
            and self._not_before.get(path.stem, 0.0) <= now
            and (pending := read_pending(path)) is not None
        ]

    async def _send(self, pending: Pending, state: State[Any] | None) -> None:
        run = self._runs.follow(pending.run)
        if run is None:  # it was deleted
            self._drop(pending)
            return
        body = json.dumps({"webhook": pending.id, **await run.view(state)}).encode()
        trouble = (httpx.HTTPError, _NotTakenError, TimeoutError)
        try:
            async for attempt in stamina.retry_context(on=trouble, attempts=_ATTEMPTS, timeout=None):
                with attempt:
                    # Only as long as it is sent: who waits between two attempts holds up nobody.
                    async with self._lane(pending.url), self._lanes, asyncio.timeout(_ANSWER_SECONDS):
                        await self._post(pending, body)
        except (*trouble, InputError) as error:
            self._postpone(pending, error)
        else:
            self._drop(pending)

    def _lane(self, url: str) -> asyncio.Semaphore:
        """Few at once to each receiver, so that a slow one does not take all lanes."""
        receiver = httpx.URL(url)
        return self._of_receivers.setdefault(
            (receiver.scheme, receiver.netloc.decode("ascii")), asyncio.Semaphore(_SENT_TO_ONE)
        )

    async def _post(self, pending: Pending, body: bytes) -> None:
        url = httpx.URL(pending.url)
        address = await resolved(pending.url, private=self._private)
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            ID_HEADER: pending.id,
            **sign(self._secret, body, time.time()),
        }
        async with self._http.stream(
            "POST", url.copy_with(host=address), headers=headers, content=body, extensions={"sni_hostname": url.host}
        ) as response:
            # A redirect is not followed: it could lead anywhere. The error holds no address, which may hold a secret.
            if not response.is_success:
                raise _NotTakenError(f"HTTP {response.status_code}")

    def _postpone(self, pending: Pending, error: Exception) -> None:
        since = pending.failing_since or time.time()
        code = str(error) if isinstance(error, _NotTakenError) else type(error).__name__
        if time.time() - since > _GIVE_UP_SECONDS:
            _log.error("The webhook of run %s was not delivered for a day (%s): it is given up.", pending.run, code)
            self._drop(pending)
            return
        _log.warning("The webhook of run %s was not delivered (%s): it is sent again later.", pending.run, code)
        self._not_before[pending.id] = time.monotonic() + _AGAIN_SECONDS
        self._keep(pending.model_copy(update={"failing_since": since}))

    def _drop(self, pending: Pending) -> None:
        (self._directory / f"{pending.id}.json").unlink(missing_ok=True)
        self._not_before.pop(pending.id, None)

    def _keep(self, pending: Pending) -> None:
        write_whole(self._directory / f"{pending.id}.json", pending.model_dump_json())


def read_pending(path: Path) -> Pending | None:
    """A webhook that is still to be sent; None if it has been, or cannot be understood."""
    try:
        return Pending.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
