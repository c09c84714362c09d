"""Whose credentials AWS gets, and where: what every use of it needs first."""

from __future__ import annotations

from tasks.aws.client import Aws, ask


async def caller(aws: Aws) -> str:
    """Ask AWS who this is, and return it with the region; never anything secret.

    Raises:
        CloudError: there are no credentials or no region, or AWS does not take them.
    """
    region = aws.region
    answer = await ask(aws.sts.get_caller_identity)
    return f"{answer['Arn']} in {region}"
