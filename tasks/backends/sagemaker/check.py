"""Check what a run needs to use the endpoint: credentials, stack, quota. Nothing is started."""

from tasks.aws.client import Aws, caller
from tasks.aws.quotas import endpoint_quota, of_quotas
from tasks.backends.sagemaker.status import endpoint_status
from tasks.core.finding import Finding, Findings, State
from tasks.settings.settings import Settings


async def check(settings: Settings) -> Findings:
    """Check what a run needs, in the order in which it needs it."""
    aws = Aws(settings.ec2.region)
    yield Finding(State.OK, f"AWS knows the credentials: {await caller(aws)}.")
    status = await endpoint_status(settings)
    yield Finding(State.OK, status.summary)
    yield of_quotas(await endpoint_quota(aws, status.facts["service"]["type"]))
