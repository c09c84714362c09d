"""Bring the pool's stack up quickly."""

from infra_scripts.common.cloudformation import StackResult
from infra_scripts.ec2.deploy import up
from tests.support.infra.fixtures import Cloud
from tests.support.infra.pools import pool

POLL = 0.02


def bring_up(cloud: Cloud, **changed: object) -> StackResult:
    return up(cloud.aws, pool(**changed), cloud.listen, poll_seconds=POLL)
