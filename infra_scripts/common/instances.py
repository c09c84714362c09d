"""A pool's machines and what they leave: found by their tags, ended, and named if they are left."""

from __future__ import annotations

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
    """An instance that is not gone."""

    id: str
    state: str
    type: str

    @property
    def in_use(self) -> bool:
        """It runs, or is about to."""
        return self.state in _IN_USE

    def __str__(self) -> str:
        return f"{self.id} ({self.type}, {self.state})"


def tag_filter(key: str, value: str) -> FilterTypeDef:
    """A filter on a tag."""
    return {"Name": f"tag:{key}", "Values": [value]}


def machines(aws: Aws, pool: str, *tags: str) -> list[Machine]:
    """All machines of a pool that are not gone: those with these tags, or else those that bake for it included."""
    found: dict[str, Machine] = {}
    for key in tags or (POOL_TAG, BAKE_TAG):
        state: FilterTypeDef = {"Name": "instance-state-name", "Values": list(ALIVE)}
        for page in aws.ec2.get_paginator("describe_instances").paginate(Filters=[tag_filter(key, pool), state]):
            for reservation in page["Reservations"]:
                for one in reservation["Instances"]:
                    machine = Machine(one["InstanceId"], one["State"]["Name"], one["InstanceType"])
                    found[machine.id] = machine
    return list(found.values())


def terminate(aws: Aws, ids: list[str], listener: Listener, *, poll_seconds: float) -> None:
    """End machines and wait until they are gone; one that is gone already is no error."""
    there = []
    for one in ids:
        try:
            aws.ec2.terminate_instances(InstanceIds=[one])
        except ClientError as error:
            if error_code(error) != "InvalidInstanceID.NotFound":
                raise
        else:
            there.append(one)
    if there:
        listener(f"Waiting until {', '.join(there)} {'is' if len(there) == 1 else 'are'} terminated.")
        waiter = aws.ec2.get_waiter("instance_terminated")
        waiter.wait(InstanceIds=there, WaiterConfig={"Delay": max(1, round(poll_seconds * 3)), "MaxAttempts": 120})


def images(aws: Aws, pool: str) -> list[ImageTypeDef]:
    """The images baked for a pool."""
    return aws.ec2.describe_images(Owners=["self"], Filters=[tag_filter(POOL_TAG, pool)])["Images"]


def image_snapshots(image: ImageTypeDef) -> list[str]:
    """The snapshots that an image is made of."""
    disks = [mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", [])]
    return [disk["SnapshotId"] for disk in disks if "SnapshotId" in disk]


def delete_image(aws: Aws, image: ImageTypeDef, listener: Listener) -> None:
    """Deregister an image and delete its snapshots."""
    snapshots = image_snapshots(image)
    aws.ec2.deregister_image(ImageId=image["ImageId"])
    for snapshot in snapshots:
        delete_snapshot(aws, snapshot)
    listener(f"Deleted: image {image['ImageId']} {' '.join(snapshots)}".rstrip())


def delete_snapshot(aws: Aws, snapshot: str) -> None:
    """Delete a snapshot; one that is gone already is no error."""
    try:
        aws.ec2.delete_snapshot(SnapshotId=snapshot)
    except ClientError as error:
        if error_code(error) != "InvalidSnapshot.NotFound":
            raise


def delete_volume(aws: Aws, volume: str) -> None:
    """Delete a disk; one that is gone already is no error."""
    try:
        aws.ec2.delete_volume(VolumeId=volume)
    except ClientError as error:
        if error_code(error) != "InvalidVolume.NotFound":
            raise


def snapshots(aws: Aws, pool: str) -> list[str]:
    """The snapshots tagged with a pool."""
    found = aws.ec2.describe_snapshots(OwnerIds=["self"], Filters=[tag_filter(POOL_TAG, pool)])["Snapshots"]
    return [snapshot["SnapshotId"] for snapshot in found]


def volumes(aws: Aws, pool: str, *states: str) -> list[str]:
    """The disks tagged with a pool, in these states."""
    state: FilterTypeDef = {"Name": "status", "Values": list(states)}
    found = aws.ec2.describe_volumes(Filters=[tag_filter(POOL_TAG, pool), state])["Volumes"]
    return [volume["VolumeId"] for volume in found]
