"""The runs that the HTTP API knows: their records, who follows them, and what Prefect says of many."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State

from flows.api.followed import Followed, Queued
from flows.api.prefect_state import states_of
from flows.api.records import Record, write_whole
from flows.api.run_index import RunIndex, read_record

_FOLLOWED = 256


class Runs:
    """The runs that were made here: a small file each, so that a backend that starts again knows them all.

    Args:
        directory: of these files; it exists.
        client: of Prefect's API.
        seconds: how long a request to Prefect is sent again before it counts as not answered.
    """

    def __init__(self, directory: Path, client: PrefectClient, seconds: float) -> None:
        self.index = RunIndex(directory)
        self.queued = Queued(self.record)
        self._directory = directory
        self._client = client
        self._seconds = seconds
        self._followed: OrderedDict[UUID, Followed] = OrderedDict()

    def remember(self, record: Record) -> None:
        """Keep a record, in place of an earlier one of the same request."""
        self.index.add(record)
        write_whole(self._directory / f"{record.id}.json", record.model_dump_json(exclude_defaults=True))

    def record(self, request: UUID) -> Record | None:
        """What is remembered of a request, or None if it was not made here."""
        return read_record(self._directory, request)

    def follow(self, request: UUID) -> Followed | None:
        """The run of a request, or None if it was not made here, or was deleted."""
        followed, record = self._followed.pop(request, None), self.record(request)
        if record is None:
            return None
        if followed is None:
            followed = Followed(record, self._client, self._seconds, self.queued)
        followed.becomes(record)
        self._followed[request] = followed
        if len(self._followed) > _FOLLOWED:
            self._followed.popitem(last=False)
        return followed

    async def states(self, requests: Sequence[UUID]) -> dict[UUID, State[Any] | None]:
        """Return the states of up to `ASKED_AT_ONCE` requests; None for those that Prefect, or this, has forgotten.

        Raises:
            ServerError: Prefect does not answer.
        """
        records = await asyncio.to_thread(lambda: {request: self.record(request) for request in requests})
        runs = [record.run for record in records.values() if record is not None and record.run is not None]
        states = await states_of(self._client, runs, self._seconds) if runs else {}
        return {
            request: None
            if record is None
            else states.get(record.run)
            if record.run is not None
            else self.queued.state(record)
            for request, record in records.items()
        }

    def forget(self, request: UUID) -> None:
        """Remove the record of a run that is deleted."""
        self._followed.pop(request, None)
        (self._directory / f"{request}.json").unlink(missing_ok=True)
        self.index.remove(request)
