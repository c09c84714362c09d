"""A pool: its stack, its machines, and their records."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from tasks.aws.client import Aws, ask
from tasks.backends.ec2.instances import GONE, list_machines
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.outputs import Stack
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
    """What an acquisition, or a process that stops machines, needs of a pool."""

    aws: Aws
    stack: Stack
    records: Records
    launches: LaunchLocks
    settings: Settings

    @property
    def limits(self) -> Limits:
        """How long to keep machines."""
        return Limits(self.settings.idle_minutes * 60, self.settings.ec2.terminate_hours * 3600)

    async def machines(self) -> tuple[Machine, ...]:
        """Return the pool's machines as they are now, with those that have gone lately."""
        return await self._sightings.fresh(self._list)

    async def recent_machines(self) -> tuple[Machine, ...]:
        """Return the same as this process has seen them within the poll interval."""
        return await self._sightings.recent(self._list, self.settings.ec2.poll_seconds)

    async def recent_machine(self, machine_id: str) -> Machine | None:
        """Return one of them; None if EC2 does not list it (any more, or yet)."""
        try:
            listed = await self.recent_machines()
        except CloudError as error:
            if error.code not in GONE:
                raise
            return None  # one went between two pages of the list
        return next((machine for machine in listed if machine.id == machine_id), None)

    async def survey(self, avoid: Collection[str], *, recent: bool = False) -> Survey:
        """Look at all machines, and choose the next step of a run that needs one; machines to `avoid` did not work.

        If `recent`, accept what was seen within the poll interval.
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
        """Return the records of machines, in their order."""
        return tuple(await asyncio.gather(*(self.records.get(machine.id) for machine in machines)))


async def open_pool(settings: Settings, aws: Aws | None = None) -> Pool:
    """Find the pool that the settings name.

    Raises:
        CloudError: it is not deployed, or AWS refuses.
    """
    aws = aws or Aws(settings.ec2.region)
    stack = await Stack.find(aws, settings.ec2.pool)
    table = Table(aws, stack.table)
    return Pool(aws, stack, Records(table), LaunchLocks(table), settings)


async def parameter(pool: Pool, name: str) -> str:
    """Return an SSM parameter of the pool, decrypted.

    Raises:
        CloudError: it is missing, or AWS refuses.
    """
    try:
        response = await ask(pool.aws.ssm.get_parameter, Name=name, WithDecryption=True)
    except CloudError as error:
        if error.code == "ParameterNotFound":
            message = f"The SSM parameter {name} is missing. Deploy the pool again: hearth infra up ec2."
            raise CloudError(message, error.code) from None
        raise
    return str(response["Parameter"]["Value"])


async def log_tail(pool: Pool, machine_id: str, lines: int = 5) -> str | None:
    """Return the end of a machine's boot log in one line, from the log group or its console; None if both are empty."""
    try:
        events = await ask(
            pool.aws.logs.get_log_events,
            logGroupName=pool.stack.log_group,
            logStreamName=machine_id,
            limit=lines,
            startFromHead=False,
        )
        logged = [event.get("message", "") for event in events["events"]]
    except CloudError:
        logged = []
    if not logged:
        try:
            # EC2 keeps up to 64 kB of it; `Latest` needs the Nitro system, which g4dn and all later types have.
            console = await ask(pool.aws.ec2.get_console_output, InstanceId=machine_id, Latest=True)
        except CloudError:
            return None
        logged = console.get("Output", "").splitlines()
    return " | ".join([line.strip() for line in logged if line.strip()][-lines:]) or None
