"""A process that makes blocks and runs a flow as a worker does, with JSON on stdin.

The JSON has `secrets` (name: value), `directories` (name: path), `buckets` (name: the fields of an S3 bucket block and
of its credentials) and a `job`. It prints the final state's name and message.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

from prefect.blocks.system import Secret
from prefect.filesystems import LocalFileSystem

from flows.local.prefect_server import prefect_api
from flows.process_document import process_document
from tasks.core.jobs import Job
from tasks.settings.settings import load_settings


async def main(asked: dict[str, Any]) -> None:
    async with prefect_api(load_settings()):
        for name, value in asked.get("secrets", {}).items():
            await cast("Any", Secret(value=value).save(name, overwrite=True))
        for name, path in asked.get("directories", {}).items():
            await cast("Any", LocalFileSystem(basepath=path).save(name, overwrite=True))
        if asked.get("buckets"):
            from prefect_aws import AwsCredentials, S3Bucket

            for name, fields in asked["buckets"].items():
                credentials = AwsCredentials(**fields.pop("credentials"))
                await cast("Any", credentials.save(name, overwrite=True))
                await cast("Any", S3Bucket(credentials=credentials, **fields).save(name, overwrite=True))
        state = await cast("Any", process_document)(Job(**asked["job"]), return_state=True)
        sys.stdout.write(json.dumps([state.name, state.message]) + "\n")


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
