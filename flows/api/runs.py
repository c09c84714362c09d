"""The runs of the HTTP API: their records, their followers, and their states in Prefect."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State

from flows.api.followed import Followed, Queued
from flows.api.prefect_state import PrefectCalls
from flows.api.records import Record, write_whole
from flows.api.run_index import RunIndex

_FOLLOWED = 256


class Runs:
    """The runs of this backend, a small file each in an existing directory, so that they survive a restart.

    Attributes:
        index: finds runs.
        record: reads the record of a request; None if there is none.
        queued: states of the requests that are not flow runs yet.
    """

    def __init__(self, directory: Path, prefect: PrefectCalls) -> None:
        self.index = RunIndex(directory)
        self.record = self.index.record
        self.queued = Queued(self.record)
        self._prefect = prefect
        self._followed: OrderedDict[UUID, Followed] = OrderedDict()

    def store(self, record: Record) -> None:
        """Store a record in place of an earlier one of the same request."""
        self.index.add(record)
        write_whole(self.index.path(record.id), record.model_dump_json(exclude_defaults=True))

    def follow(self, request: UUID) -> Followed | None:
        """Return the run of a request; None if there is none, or it was deleted."""
        followed, record = self._followed.pop(request, None), self.record(request)
        if record is None:
            return None
        if followed is None:
            followed = Followed(record, self._prefect, self.queued)
        followed.record = record
        self._followed[request] = followed
        if len(self._followed) > _FOLLOWED:
            self._followed.popitem(last=False)
        return followed

    async def states(self, requests: Sequence[UUID]) -> dict[UUID, State[Any] | None]:
        """Return the states of up to `STATES_PER_REQUEST` requests; None for those without a record or a flow run."""
        records = await asyncio.to_thread(lambda: {request: self.record(request) for request in requests})
        runs = [record.run for record in records.values() if record is not None and record.run is not None]
        states = await self._prefect.states(runs) if runs else {}

        def state(record: Record | None) -> State[Any] | None:
            if record is None:
                return None
            return self.queued.state(record) if record.run is None else states.get(record.run)

        return {request: state(record) for request, record in records.items()}

    def remove(self, request: UUID) -> None:
        """Remove the record of a run."""
        self._followed.pop(request, None)
        self.index.path(request).unlink(missing_ok=True)
        self.index.remove(request)
