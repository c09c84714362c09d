"""Bring the pool's stack up quickly."""

from infra_scripts.ec2.deploy import Up, up
from tests.support.infra.fixtures import Cloud
from tests.support.infra.pools import pool

POLL = 0.02


def bring_up(cloud: Cloud, **changed: object) -> Up:
    return up(cloud.aws, pool(**changed), cloud.listen, poll_seconds=POLL)
