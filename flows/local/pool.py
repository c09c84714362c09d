"""The work pool of Hearth's deployments."""

from contextlib import suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from tasks.core.errors import ServerError

POOL = "hearth"


async def create_pool() -> None:
    """Create the work pool. An existing one keeps its settings."""
    pool = WorkPoolCreate(
        name=POOL, type=ProcessWorker.type, base_job_template=ProcessWorker.get_default_base_job_template()
    )
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(pool)
        found = await client.read_work_pool(POOL)
    if found.type != ProcessWorker.type:
        raise ServerError(
            f"Prefect has a work pool {POOL} of type {found.type}, which a process on this machine cannot serve. "
            f"Start a worker of that type, or delete the pool: prefect work-pool delete {POOL}"
        )
