"""Stop machines that nobody uses: one machine when its idle time is over, or all of a pool in a sweep."""

# No postponed annotations here: a served flow is pickled, and would lose its parameters' types.

import asyncio

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.engine.shutdown_schedule import schedule_idle_shutdown
from flows.ui.artifacts import log_to_run
from tasks.aws.errors import NO_REGION
from tasks.backends.ec2.instances import machine as describe_machine
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.pool import Pool, open_pool
from tasks.backends.ec2.reaper import reap, sweep_disks
from tasks.core.errors import CloudError
from tasks.core.events import subscribe
from tasks.settings.settings import Settings, load_settings


@flow(name="idle-shutdown", flow_run_name="look at {machine}", persist_result=False, retries=3, retry_delay_seconds=30)
async def idle_shutdown(machine: str, pool: str = "default", region: str | None = None) -> str:
    """Stop one machine if nobody leases it and its idle time is over; otherwise check it again later.

    Args:
        machine: ID of the EC2 instance, such as i-0123456789abcdef0.
        pool: Name of its pool; default if empty.
        region: AWS region of the pool, such as eu-central-1; that of AWS's own configuration if None.

    Returns:
        What was done, and why.

    Raises:
        CloudError: AWS refused, or could not be reached; Prefect retries the run.
    """
    opened = await open_pool(_settings(pool, region))
    described = await describe_machine(opened.aws, machine)
    if described is None or described.pool != pool:
        return _logged(machine, "no machine of this pool")
    decision = await reap(opened, described)
    if decision.look_again_at is not None:
        await schedule_idle_shutdown(opened.settings, machine, decision.look_again_at, released=False)
    return _logged(machine, f"{decision.action}: {decision.why}")


@flow(name="sweep-machines", flow_run_name="sweep {pool}", persist_result=False)
async def sweep_machines(pool: str = "default", region: str | None = None) -> list[str] | State[list[str]]:
    """Stop every machine of a pool that nobody leases and whose idle time is over, and delete disks without a machine.

    A machine that cannot be stopped does not keep the others running.

    Args:
        pool: Name of the pool of machines; default if empty.
        region: AWS region of the pool, such as eu-central-1; that of AWS's own configuration if None.

    Returns:
        What was done with each machine, and why; Completed, named Skipped, if no AWS region is set: without one no run
        of this worker has started a machine.

    Raises:
        CloudError: AWS could not be reached, or at least one machine could not be stopped.
    """
    try:
        opened = await open_pool(_settings(pool, region))
    except CloudError as error:
        if error.code != NO_REGION:
            raise
        return Completed(name="Skipped", message=f"{error} Without one there are no machines.", data=[])
    machines = await opened.machines()
    outcomes = await asyncio.gather(*(_reaped(opened, machine) for machine in machines))
    done = [_logged(machine.id, str(outcome)) for machine, outcome in zip(machines, outcomes, strict=True)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, CloudError)]
    try:
        with subscribe(log_to_run):
            done += [_logged(disk, "deleted: no machine has it") for disk in await sweep_disks(opened)]
    except CloudError as error:
        failed.append(error)
    if failed:
        raise failed[0]
    return done


async def _reaped(pool: Pool, machine: Machine) -> str | CloudError:
    try:
        decision = await reap(pool, machine)
    except CloudError as error:
        return error
    return f"{decision.action}: {decision.why}"


def _settings(pool: str, region: str | None) -> Settings:
    settings = load_settings()
    ec2 = settings.ec2.model_copy(update={"pool": pool, "region": region or settings.ec2.region})
    return settings.model_copy(update={"ec2": ec2})


def _logged(subject: str, done: str) -> str:
    message = f"{subject}: {done}"
    get_run_logger().info(message)
    return message
