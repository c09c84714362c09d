"""Bake an image with Ollama and the model, so that machines install and pull nothing while they boot.

One machine is launched from the pool's launch template, but outside the pool, so that no run uses it. It is terminated
after every failure; if that fails, its own watchdog and hard limit terminate it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from infra_scripts.common.clients import Aws, Listener, explain_errors
from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.errors import BakeError, RequestError
from infra_scripts.common.instances import POOL_TAG, delete_image, images
from infra_scripts.common.parameters import read_parameter
from infra_scripts.ec2.baker import Bake, check_no_other_bake, launch_baker, terminate_baker, wait_until_serving
from infra_scripts.ec2.deploy import BASE_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef

_IMAGE_SECONDS = 3600.0


def bake(aws: Aws, how: Bake, listener: Listener) -> str:
    """Bake an image for a pool, whose machines are launched from it from now on.

    Returns:
        The image's id.

    Raises:
        RequestError: the pool has no stack or no base image.
        BakeError: the machine did not serve, or no image was created; the old image is kept.
        AccessError: AWS refused a request.
    """
    with explain_errors(), _terminated_is_interrupted():
        outputs = Stack(aws, f"hearth-{how.pool}", listener).outputs()
        if not outputs:
            raise RequestError(f"The pool {how.pool} has no stack in {aws.region}. Run `hearth infra up ec2` first.")
        check_no_other_bake(aws, how.pool)
        earlier = images(aws, how.pool)
        machine = image = None
        try:
            machine = launch_baker(aws, how, outputs, listener)
            wait_until_serving(aws, how, machine, outputs["LogGroupName"], listener)
            image = _image(aws, how, machine, outputs, listener)
            aws.ssm.put_parameter(Name=outputs["AmiParameter"], Value=image, Type="String", Overwrite=True)
            listener(f"From now on the pool {how.pool} launches its machines from {image}.")
        except BaseException:
            if image is not None:
                _give_up(aws, how, image, listener)
            raise
        finally:
            terminate_baker(aws, how, machine, listener)
        for old in earlier:
            delete_image(aws, old, listener)
        return image


def _image(aws: Aws, how: Bake, machine: str, outputs: dict[str, str], listener: Listener) -> str:
    listener(f"Stopping {machine}, so that its disk does not change.")
    aws.ec2.stop_instances(InstanceIds=[machine])
    delay = max(1, round(how.poll_seconds))
    aws.ec2.get_waiter("instance_stopped").wait(
        InstanceIds=[machine], WaiterConfig={"Delay": delay, "MaxAttempts": 1 + round(600 / delay)}
    )
    now = datetime.now(UTC)
    tags = {
        POOL_TAG: how.pool,
        "hearth:config": outputs["Config"],
        BASE_TAG: how.base_ami_parameter,
        "Name": f"hearth-{how.pool}",
    }
    listed: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in tags.items()]
    image = aws.ec2.create_image(
        InstanceId=machine,
        Name=f"hearth-{how.pool}-{now:%Y%m%d-%H%M%S}-{outputs['Config']}",
        Description=f"Hearth pool {how.pool}: Ollama and its model",
        TagSpecifications=[
            {"ResourceType": "image", "Tags": listed},
            {"ResourceType": "snapshot", "Tags": listed},
        ],
    )["ImageId"]
    listener(f"The image {image} is being created, which takes some minutes.")
    try:
        _wait_until_available(aws, how, image)
    except BaseException:
        _give_up(aws, how, image, listener)
        raise
    return image


def _wait_until_available(aws: Aws, how: Bake, image: str) -> None:
    deadline = time.monotonic() + _IMAGE_SECONDS
    while True:
        found = aws.ec2.describe_images(ImageIds=[image])["Images"]
        state = found[0]["State"] if found else "pending"
        if state == "available":
            return
        if state not in {"pending", "transient"}:
            reason = found[0].get("StateReason", {}).get("Message", "")
            raise BakeError(f"The image {image} is {state}: {reason} The old image is kept.")
        if time.monotonic() > deadline:
            raise BakeError(
                f"The image {image} was not available after {_IMAGE_SECONDS / 60:g} minutes. The old image is kept."
            )
        time.sleep(how.poll_seconds)


def _give_up(aws: Aws, how: Bake, image: str, listener: Listener) -> None:
    """Try to delete an image that is not used."""
    try:
        used = read_parameter(aws, f"/hearth/{how.pool}/ami")
        for found in images(aws, how.pool):
            if found["ImageId"] == image != used:
                delete_image(aws, found, listener)
    except Exception as error:  # noqa: BLE001 - the first error matters more
        listener(f"The image {image} may be left ({error}); `hearth infra down ec2 --images` deletes it.")


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that the machine is terminated."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
