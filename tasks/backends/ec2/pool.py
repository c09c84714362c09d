"""A pool as its callers hold it: the means of its stack, its records, and how long machines are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from tasks.aws.client import Aws, ask
from tasks.backends.ec2.instances import GONE, list_machines
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.outputs import Stack, find_stack
from tasks.backends.ec2.policy import Limits, Step, placement_policy
from tasks.backends.ec2.sightings import Sightings, sightings_of
from tasks.core.errors import CloudError
from tasks.leasing.launch_lock import LaunchLocks
from tasks.leasing.lease import Record
from tasks.leasing.leases import Records
from tasks.leasing.table import Table
from tasks.settings.settings import Settings


class Survey(NamedTuple):
    """A pool's machines, and what a run that needs one does: see `tasks.backends.ec2.policy.placement_policy`."""

    machines: tuple[Machine, ...]
    step: Step
    chosen: Machine | None


@dataclass(frozen=True)
class Pool:
    """Everything about a pool that an acquisition or a stopper needs."""

    aws: Aws
    stack: Stack
    records: Records
    launches: LaunchLocks
    settings: Settings

    @property
    def limits(self) -> Limits:
        """How long machines are kept."""
        return Limits(self.settings.idle_minutes * 60, self.settings.ec2.terminate_hours * 3600)

    async def machines(self) -> tuple[Machine, ...]:
        """The pool's machines as they are now, those that have gone lately included."""
        return await self._sightings.fresh(self._list)

    async def recent_machines(self) -> tuple[Machine, ...]:
        """The same, as somebody in this process has seen them within the poll interval."""
        return await self._sightings.recent(self._list, self.settings.ec2.poll_seconds)

    async def recent_machine(self, machine_id: str) -> Machine | None:
        """One of them; None if EC2 does not list it (any more, or yet)."""
        try:
            listed = await self.recent_machines()
        except CloudError as error:
            if error.code not in GONE:
                raise
            return None  # one that went between the pages of the answer
        return next((each for each in listed if each.id == machine_id), None)

    async def survey(self, avoid: Collection[str], *, recent: bool = False) -> Survey:
        """Look at all of it, and choose what a run that needs a machine does.

        Args:
            avoid: ids of machines that did not work.
            recent: what was seen within the poll interval will do.
        """
        machines = await (self.recent_machines() if recent else self.machines())
        records = await self.records_of(tuple(machine for machine in machines if machine.there))
        step, chosen = placement_policy(machines, records, self.stack.config, avoid, self.records.now())
        return Survey(machines, step, chosen)

    async def _list(self) -> tuple[Machine, ...]:
        return await list_machines(self.aws, self.stack.pool)

    @property
    def _sightings(self) -> Sightings:
        return sightings_of(str(self.aws.ec2.meta.endpoint_url), self.stack.pool, self.stack.launch_template)

    async def records_of(self, machines: tuple[Machine, ...]) -> tuple[Record, ...]:
        """The records of machines, in their order."""
        return tuple(await asyncio.gather(*(self.records.get(machine.id) for machine in machines)))


async def open_pool(settings: Settings, aws: Aws | None = None) -> Pool:
    """Find the pool that the settings name.

    Raises:
        CloudError: it is not deployed, or AWS refuses.
    """
    aws = aws or Aws(settings.ec2.region)
    stack = await find_stack(aws, settings.ec2.pool)
    table = Table(aws, stack.table)
    return Pool(aws, stack, Records(table), LaunchLocks(table), settings)


async def parameter(pool: Pool, name: str) -> str:
    """An SSM parameter of the pool, decrypted.

    Raises:
        CloudError: it is missing, or AWS refuses.
    """
    try:
        answer = await ask(pool.aws.ssm.get_parameter, Name=name, WithDecryption=True)
    except CloudError as error:
        if error.code == "ParameterNotFound":
            told = f"The SSM parameter {name} is missing. Deploy the pool again: hearth infra up ec2."
            raise CloudError(told, error.code) from None
        raise
    return str(answer["Parameter"]["Value"])


async def log_tail(pool: Pool, machine_id: str, lines: int = 5) -> str | None:
    """The end of a machine's boot log, in one line: from the log group, otherwise from its console. None if neither."""
    try:
        events = await ask(
            pool.aws.logs.get_log_events,
            logGroupName=pool.stack.log_group,
            logStreamName=machine_id,
            limit=lines,
            startFromHead=False,
        )
        told = [event.get("message", "") for event in events["events"]]
    except CloudError:
        told = []
    if not told:
        try:
            # EC2 keeps up to 64 kB of it; `Latest` is for machines of the Nitro kind, which all of g4dn and later are.
            console = await ask(pool.aws.ec2.get_console_output, InstanceId=machine_id, Latest=True)
        except CloudError:
            return None
        told = console.get("Output", "").splitlines()
    kept = [line.strip() for line in told if line.strip()][-lines:]
    return " | ".join(kept) or None
