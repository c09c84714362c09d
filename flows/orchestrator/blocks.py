"""Resolve Prefect blocks that a request names: the output, its credentials, and a document's password.

A request keeps the blocks' names; their secrets stay in this process's memory.
"""

from typing import Any, TypeVar

from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.filesystems import LocalFileSystem

from tasks.batches.batch import Batch
from tasks.core.errors import InputError, PasswordError
from tasks.core.jobs import Job
from tasks.storage.files import S3Path

Request = TypeVar("Request", Job, Batch)
AnyBlock = TypeVar("AnyBlock", bound=Block)


async def resolve_output(request: Request) -> Request:
    """Return the request with the path of its output block, which this process can access from now on.

    Raises:
        InputError: there is no such block, or the request also names an output.
    """
    if not request.output_block:
        return request
    if request.output:
        raise InputError(f"The request names both an output ({request.output}) and an output block. Name one of them.")
    kind, _, name = request.output_block.partition("/")
    match kind:
        case "s3-bucket":
            output = await _use_bucket(name)
        case "local-file-system":
            output = (await _load(LocalFileSystem, name)).basepath or ""
        case _:
            output = ""
    if not output:
        raise InputError(
            f"The block {request.output_block} cannot hold results. Name one such as s3-bucket/my-results or "
            "local-file-system/my-results."
        )
    return request.model_copy(update={"output": output, "output_block": None})


async def password_of(job: Job) -> str | None:
    """Return the password in the Secret block that a job names; None if it names none."""
    if not job.password_block:
        return None
    password = (await _load(Secret, job.password_block.removeprefix("secret/"))).get()
    if not isinstance(password, str):
        raise PasswordError(f"The Secret block {job.password_block} holds no text. Store the password as a string.")
    return password


async def _load(kind: type[AnyBlock], name: str) -> AnyBlock:
    try:
        return await kind.aload(name)
    except (ValueError, RuntimeError):  # their messages may contain the block's values
        block = f"{kind.get_block_type_slug()}/{name}"
        raise InputError(f"Prefect has no usable block {block}. Create it, or correct the name.") from None


async def _use_bucket(name: str) -> str:
    """Use a bucket with its block's credentials from now on, and return its s3:// path."""
    try:
        from prefect_aws import S3Bucket
    except ImportError:
        raise InputError("S3 blocks need prefect-aws on the worker: pip install 'hearth-pages[aws]'.") from None
    from tasks.aws.client import Aws
    from tasks.storage import s3_client as objects

    block: Any = await _load(S3Bucket, name)
    credentials = block.credentials
    options = credentials.aws_client_parameters.get_params_override()
    objects.use_for(block.bucket_name, Aws(session=credentials.get_boto3_session(), options=options))
    return str(S3Path(block.bucket_name, block.bucket_folder.strip("/")))
