"""What is asked of DynamoDB for leases, locks and the usage ledger, held against botocore's own model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tasks.costs.attribution import Rates, Span
from tasks.leasing.launch_lock import LaunchLock, LaunchLocks
from tasks.leasing.lease import Lease, Record
from tasks.leasing.leases import Records
from tasks.leasing.table import Table
from tests.unit.tasks.backends.ec2.stubbed import ID, LEASE, Stubbed


class Expressions:
    """Stands for DynamoDB's client: it keeps what it is asked, after botocore's model has been held against it."""

    def __init__(self, aws: Stubbed) -> None:
        self.asked: list[dict[str, Any]] = []
        aws.dynamodb.meta.events.register("provide-client-params.dynamodb", self._keep)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.asked.append(params)


LOCK = LaunchLock("abc", 4, ID, 1e9)
START = Span(ID, "g4dn.xlarge spot in us-east-1a", 10**12, Rates(0.2, 0.526))


def seen_with(*leases: Lease) -> Record:
    return Record(ID, leases, version=7, closed_by="abc")


async def locked(locks: LaunchLocks) -> None:
    async with locks.held("default") as lock:
        assert lock is not None


class TestRecordsCalls:
    """What is asked of DynamoDB, which refuses placeholders that are named and not used, or used and not named."""

    @pytest.mark.parametrize(
        ("call", "steps"),
        [
            (lambda r, _: r.get(ID), ["get_item"]),
            (lambda r, _: r.take(ID, LEASE), ["put_item", "update_item"]),
            (lambda r, _: r.renew(ID, LEASE, 3e9), ["update_item"]),
            (lambda r, _: r.release(ID, LEASE), ["update_item", "put_item"]),
            (lambda r, _: r.close(seen_with()), ["put_item", "update_item"]),
            (lambda r, _: r.close(seen_with(LEASE, Lease("dead", 1, 1.0))), ["put_item", "update_item"]),
            (lambda r, _: r.reopen(seen_with()), ["update_item"]),
            (lambda r, _: r.note_stopped(ID, 1e9), ["put_item", "update_item"]),
            (lambda r, _: r.forget(ID), ["delete_item"]),
            (lambda r, _: r.ledger.started(START), ["put_item"]),
            (lambda r, _: r.ledger.up(ID, 1e9, 2e9), ["update_item"]),
            (lambda r, _: r.ledger.seen(ID, 1e9, 2e9), ["update_item"]),
            (
                lambda r, _: r.ledger.stopped(ID, 1e9, 2e9, "idle", exact=True, keeps_disk=True),
                ["update_item"],
            ),
            (lambda r, _: r.ledger.gone(ID, 1e9, 2e9), ["update_item"]),
            (lambda _, locks: locks.hold_on("default", LOCK), ["update_item"]),
            (lambda _, locks: locks.ended("default", LOCK, ID), ["update_item"]),
            (lambda _, locks: locks.ended("default", LOCK, None), ["update_item"]),
            (lambda _, locks: locked(locks), ["update_item", "get_item", "update_item"]),
        ],
        ids=[
            *("get", "take", "renew", "release", "close", "close over leases", "reopen", "note stopped", "forget"),
            *("enter a start", "enter up", "enter seen", "enter a stop", "enter the disk's end"),
            *("hold on", "launch ended", "launch brought nothing", "lock and unlock"),
        ],
    )
    async def test_every_placeholder_is_named_and_used(
        self, aws: Stubbed, call: Callable[[Records, LaunchLocks], Any], steps: list[str]
    ):
        kept, table = Expressions(aws), Table(aws, "hearth-default")
        for step in steps:
            aws.answers("dynamodb", step, {})
        await call(Records(table), LaunchLocks(table))
        assert len(kept.asked) == len(steps)
        for asked in kept.asked:
            text = " ".join(asked.get(name, "") for name in ("UpdateExpression", "ConditionExpression"))
            used = set(re.findall(r"[:#]\w+", text))
            assert used == {*asked.get("ExpressionAttributeValues", ()), *asked.get("ExpressionAttributeNames", ())}

    async def test_a_record_is_read_consistently(self, aws: Stubbed):
        asked = {"TableName": "hearth-default", "Key": {"id": {"S": ID}}, "ConsistentRead": True}
        aws.answers("dynamodb", "get_item", {}, asked)
        assert (await Records(Table(aws, "hearth-default")).get(ID)).leases == ()
