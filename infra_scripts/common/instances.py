"""A pool's machines, images, snapshots and disks: found by their tags, and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, Listener, error_code

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
_IN_USE = {"pending", "running"}
POOL_TAG: Literal["hearth:pool"] = "hearth:pool"
BAKE_TAG = "hearth:bake"


@dataclass(frozen=True)
class Machine:
    """An instance that is not terminated."""

    id: str
    state: str
    type: str

    @property
    def in_use(self) -> bool:
        """Whether it runs or is about to."""
        return self.state in _IN_USE

    def __str__(self) -> str:
        return f"{self.id} ({self.type}, {self.state})"


def tag_filter(key: str, value: str) -> FilterTypeDef:
    """Return a filter for a tag."""
    return {"Name": f"tag:{key}", "Values": [value]}


def machines(aws: Aws, pool: str, *tags: str) -> list[Machine]:
    """Return a pool's machines that are not terminated, by the tags that may name it; by default baking ones, too."""
    found: dict[str, Machine] = {}
    for key in tags or (POOL_TAG, BAKE_TAG):
        state: FilterTypeDef = {"Name": "instance-state-name", "Values": list(ALIVE)}
        for page in aws.ec2.get_paginator("describe_instances").paginate(Filters=[tag_filter(key, pool), state]):
            for reservation in page["Reservations"]:
                for entry in reservation["Instances"]:
                    machine = Machine(entry["InstanceId"], entry["State"]["Name"], entry["InstanceType"])
                    found[machine.id] = machine
    return list(found.values())


def terminate(aws: Aws, ids: list[str], listener: Listener, *, poll_seconds: float) -> None:
    """Terminate machines and wait until that is done; missing ones are ignored."""
    found = []
    for machine in ids:
        with _ignore_missing("InvalidInstanceID.NotFound"):
            aws.ec2.terminate_instances(InstanceIds=[machine])
            found.append(machine)
    if found:
        listener(f"Waiting until {', '.join(found)} {'is' if len(found) == 1 else 'are'} terminated.")
        waiter = aws.ec2.get_waiter("instance_terminated")
        waiter.wait(InstanceIds=found, WaiterConfig={"Delay": max(1, round(poll_seconds * 3)), "MaxAttempts": 120})


def images(aws: Aws, pool: str) -> list[ImageTypeDef]:
    """Return the images that were baked for a pool."""
    return aws.ec2.describe_images(Owners=["self"], Filters=[tag_filter(POOL_TAG, pool)])["Images"]


def delete_image(aws: Aws, image: ImageTypeDef, listener: Listener) -> None:
    """Deregister an image and delete its snapshots."""
    disks = [mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", [])]
    snapshots = [disk["SnapshotId"] for disk in disks if "SnapshotId" in disk]
    aws.ec2.deregister_image(ImageId=image["ImageId"])
    for snapshot in snapshots:
        delete_snapshot(aws, snapshot)
    listener(f"Deleted: image {image['ImageId']} {' '.join(snapshots)}".rstrip())


def delete_snapshot(aws: Aws, snapshot: str) -> None:
    """Delete a snapshot; ignore a missing one."""
    with _ignore_missing("InvalidSnapshot.NotFound"):
        aws.ec2.delete_snapshot(SnapshotId=snapshot)


def delete_volume(aws: Aws, volume: str) -> None:
    """Delete a disk; ignore a missing one."""
    with _ignore_missing("InvalidVolume.NotFound"):
        aws.ec2.delete_volume(VolumeId=volume)


@contextmanager
def _ignore_missing(code: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) != code:
            raise


def snapshots(aws: Aws, pool: str) -> list[str]:
    """Return the snapshots that are tagged with a pool."""
    found = aws.ec2.describe_snapshots(OwnerIds=["self"], Filters=[tag_filter(POOL_TAG, pool)])["Snapshots"]
    return [snapshot["SnapshotId"] for snapshot in found]


def volumes(aws: Aws, pool: str, *states: str) -> list[str]:
    """Return the disks that are tagged with a pool, in these states."""
    state: FilterTypeDef = {"Name": "status", "Values": list(states)}
    found = aws.ec2.describe_volumes(Filters=[tag_filter(POOL_TAG, pool), state])["Volumes"]
    return [volume["VolumeId"] for volume in found]
