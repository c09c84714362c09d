"""What EC2 tells of a machine: its state, its market and the notice of its end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.backends.ec2.instances import list_machines
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.machine import MachineState, Market
from tasks.core.errors import CloudError
from tests.unit.tasks.backends.ec2.stubbed import ID, STACK, Stubbed, instance, page, seen

SPOT = instance(InstanceLifecycle="spot", SpotInstanceRequestId="sir-12345678")


class TestDescriptions:
    """Of machines: what is asked, and what is made of the answer."""

    async def test_a_pool_s_machines_are_found_by_their_tag(self, aws: Stubbed):
        asked = {"Filters": [{"Name": "tag:hearth:pool", "Values": ["default"]}]}
        aws.answers("ec2", "describe_instances", page(instance()), asked)
        (found,) = await list_machines(aws, "default")
        assert (found.id, found.kind, found.config) == (ID, "g4dn.xlarge on-demand in us-east-1a", STACK.config)
        assert found.launched_at == datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp()

    async def test_all_pages_are_read(self, aws: Stubbed):
        first = {**page(instance()), "NextToken": "more"}
        filters = [{"Name": "tag:hearth:pool", "Values": ["default"]}]
        aws.answers("ec2", "describe_instances", first, {"Filters": filters})
        second = page(instance(InstanceId="i-2"))
        aws.answers("ec2", "describe_instances", second, {"Filters": filters, "NextToken": "more"})
        assert [each.id for each in await list_machines(aws, "default")] == [ID, "i-2"]

    async def test_what_ec2_does_not_know_is_none(self, aws: Stubbed):
        aws.refuses("ec2", "describe_instances", "InvalidInstanceID.NotFound")
        assert await described(aws, ID) is None

    async def test_a_missing_permission_is_not_taken_for_a_missing_machine(self, aws: Stubbed):
        aws.refuses("ec2", "describe_instances", "UnauthorizedOperation")
        with pytest.raises(CloudError, match="does not permit DescribeInstances"):
            await described(aws, ID)

    async def test_a_terminated_machine_without_placement_or_address_is_described(self, aws: Stubbed):
        bare = {"InstanceId": ID, "InstanceType": "g4dn.xlarge", "State": {"Name": "terminated"}}
        aws.answers("ec2", "describe_instances", page(bare))
        found = await described(aws, ID)
        assert found.state is MachineState.TERMINATED
        assert not found.there

    @pytest.mark.parametrize(
        ("tag", "why"),
        [
            ("2026-11-23T10:02:00Z spot-interruption", "spot-interruption"),
            ("2026-11-23T10:02:00Z", "its end was announced"),
        ],
    )
    async def test_a_notice_is_when_and_why(self, aws: Stubbed, tag: str, why: str):
        found = await seen(aws, Tags=[{"Key": "hearth:notice", "Value": tag}])
        assert found.notice.why == why
        assert found.notice.at == datetime(2026, 11, 23, 10, 2, tzinfo=UTC).timestamp()

    @pytest.mark.parametrize("tag", ["", "soon", "2026-11-23T09:59:00Z lifetime"])
    async def test_rubbish_and_a_notice_from_before_the_last_start_are_none(self, aws: Stubbed, tag: str):
        assert (await seen(aws, Tags=[{"Key": "hearth:notice", "Value": tag}])).notice is None

    async def test_a_running_spot_machine_s_request_is_looked_at_for_ec2_s_mark(self, aws: Stubbed):
        aws.answers("ec2", "describe_instances", page(SPOT))
        since = datetime(2026, 11, 23, 10, 1, tzinfo=UTC)
        mark = {
            "SpotInstanceRequestId": "sir-12345678",
            "Status": {"Code": "marked-for-termination", "UpdateTime": since},
        }
        asked = {"Filters": [{"Name": "spot-instance-request-id", "Values": ["sir-12345678"]}]}
        aws.answers("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": [mark]}, asked)
        found = await described(aws, ID)
        assert found.market is Market.SPOT
        assert found.notice.at == since.timestamp() + 120
        assert "marked-for-termination" in found.notice.why

    async def test_a_fulfilled_request_is_no_notice(self, aws: Stubbed):
        aws.answers("ec2", "describe_instances", page(SPOT))
        mark = {"SpotInstanceRequestId": "sir-12345678", "Status": {"Code": "fulfilled"}}
        aws.answers("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": [mark]})
        assert (await described(aws, ID)).notice is None
