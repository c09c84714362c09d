"""Stop machines that nobody uses: one when its idle time is over, and all of a pool at a sweep."""

# No postponed annotations here: a served flow is pickled, and would lose sight of its parameters' types.

import asyncio

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.engine.shutdown_schedule import schedule_idle_shutdown
from flows.ui.artifacts import log_to_run
from tasks.aws.errors import NO_REGION
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.policy import Decision
from tasks.backends.ec2.pool import Pool, open_pool
from tasks.backends.ec2.reaper import reap, sweep_disks
from tasks.core.errors import CloudError
from tasks.core.events import subscribe
from tasks.settings.settings import Settings, load_settings


@flow(name="idle-shutdown", flow_run_name="look at {machine}", persist_result=False, retries=3, retry_delay_seconds=30)
async def idle_shutdown(machine: str, pool: str = "default", region: str | None = None) -> str:
    """Stop one machine if nobody leases it and its idle time is over; otherwise look again later.

    Args:
        machine: ID of the EC2 instance, such as i-0123456789abcdef0.
        pool: Name of its pool; default if empty.
        region: AWS region of the pool, such as eu-central-1; that of AWS's own configuration if None.

    Returns:
        What was done, and why.

    Raises:
        CloudError: AWS refuses, or is out of reach; it is tried again.
    """
    opened = await open_pool(_settings(pool, region))
    seen = await described(opened.aws, machine)
    if seen is None or seen.pool != pool:
        return _told(machine, "no machine of this pool")
    decision = await reap(opened, seen)
    if decision.look_again_at is not None:
        await schedule_idle_shutdown(opened.settings, machine, decision.look_again_at, released=False)
    return _told(machine, f"{decision.action}: {decision.why}")


@flow(name="sweep-machines", flow_run_name="sweep {pool}", persist_result=False)
async def sweep_machines(pool: str = "default", region: str | None = None) -> list[str] | State[list[str]]:
    """Stop every machine of a pool that nobody leases and whose time is over, and delete disks that were left.

    One machine that cannot be stopped does not keep the others running.

    Args:
        pool: Name of the pool of machines; default if empty.
        region: AWS region of the pool, such as eu-central-1; that of AWS's own configuration if None.

    Returns:
        What was done with each, and why; Completed, named Skipped, where no AWS region is set: without one no run of
        this worker has started a machine.

    Raises:
        CloudError: AWS could not be asked, or at least one machine could not be stopped.
    """
    try:
        opened = await open_pool(_settings(pool, region))
    except CloudError as error:
        if error.code != NO_REGION:
            raise
        return Completed(name="Skipped", message=f"{error} Without one there are no machines.", data=[])
    machines = await opened.machines()
    outcomes = await asyncio.gather(*(_tended(opened, machine) for machine in machines))
    told = [
        _told(machine.id, str(outcome) if isinstance(outcome, CloudError) else f"{outcome.action}: {outcome.why}")
        for machine, outcome in zip(machines, outcomes, strict=True)
    ]
    failed = [outcome for outcome in outcomes if isinstance(outcome, CloudError)]
    try:
        with subscribe(log_to_run):
            told += [_told(disk, "deleted: no machine has it") for disk in await sweep_disks(opened)]
    except CloudError as error:
        failed.append(error)
    if failed:
        raise failed[0]
    return told


async def _tended(pool: Pool, machine: Machine) -> Decision | CloudError:
    try:
        return await reap(pool, machine)
    except CloudError as error:
        return error


def _settings(pool: str, region: str | None) -> Settings:
    settings = load_settings()
    ec2 = settings.ec2.model_copy(update={"pool": pool, "region": region or settings.ec2.region})
    return settings.model_copy(update={"ec2": ec2})


def _told(what: str, done: str) -> str:
    told = f"{what}: {done}"
    get_run_logger().info(told)
    return told
