"""Check what a run needs to get a machine: credentials, stack, connection, quota. Nothing is started."""

import shutil

from tasks.aws.client import Aws, caller
from tasks.aws.quotas import ec2_quota, of_quotas
from tasks.backends.ec2.outputs import Stack
from tasks.core.finding import Finding, Findings, State
from tasks.settings.ec2 import Access
from tasks.settings.settings import Settings

_PLUGIN = "session-manager-plugin"


async def check(settings: Settings) -> Findings:
    """Check what a run needs, in the order in which it needs it."""
    aws = Aws(settings.ec2.region)
    yield Finding(State.OK, f"AWS knows the credentials: {await caller(aws)}.")
    stack = await Stack.find(aws, settings.ec2.pool)
    yield Finding(State.OK, f"The pool {stack.pool} is deployed.")
    if stack.access is Access.TUNNEL and shutil.which(_PLUGIN) is None:
        yield Finding(State.MISSING, f"The pool is reached by a tunnel, and {_PLUGIN} is not on PATH.", "Install it.")
    markets, kind = settings.ec2.spot_policy.markets, settings.ec2.types[0]
    yield of_quotas(*[await ec2_quota(aws, market, kind) for market in markets])
