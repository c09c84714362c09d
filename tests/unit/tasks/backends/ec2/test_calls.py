"""What is asked of EC2, SSM, CloudWatch and CloudFormation, held against botocore's own models."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY

from tasks.backends.ec2.connection import open_connection
from tasks.backends.ec2.instances import (
    keep_disk_on_power_off,
    start,
    stop,
    terminate,
)
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.pool import log_tail, open_pool, parameter
from tasks.backends.ec2.reaper import sweep_disks
from tasks.backends.ec2.usage import usd_per_hour
from tasks.core.errors import CloudError, ServerError
from tasks.costs.price_book import shipped_book
from tasks.settings.ec2 import Access
from tasks.settings.settings import Settings
from tests.unit.tasks.backends.ec2.stubbed import ID, STACK, Stubbed, instance, page, pool_of, seen


class TestCalls:
    """Each is asked as botocore's model of it has it."""

    async def test_start(self, aws: Stubbed):
        aws.answers("ec2", "start_instances", {}, {"InstanceIds": [ID]})
        await start(aws, ID)

    async def test_stop_is_not_tried_for_long(self, aws: Stubbed):
        aws.answers("ec2_at_once", "stop_instances", {}, {"InstanceIds": [ID]})
        await stop(aws, ID, 9e9)
        config = aws.ec2_at_once.meta.config
        assert (config.connect_timeout + config.read_timeout) * config.retries["total_max_attempts"] < 35

    @pytest.mark.parametrize("act", [stop, terminate])
    async def test_what_got_too_late_is_not_asked_any_more(self, aws: Stubbed, act: Callable[..., Any]):
        with pytest.raises(CloudError, match=f"{ID} was not stopped: the deadline"):
            await act(aws, ID, time.time() - 1)

    async def test_terminate(self, aws: Stubbed):
        aws.answers("ec2_at_once", "terminate_instances", {}, {"InstanceIds": [ID]})
        await terminate(aws, ID, 9e9)

    async def test_terminate_of_what_is_gone_is_no_error(self, aws: Stubbed):
        aws.refuses("ec2_at_once", "terminate_instances", "InvalidInstanceID.NotFound")
        await terminate(aws, ID, 9e9)

    async def test_keeping_the_disk_on_power_off(self, aws: Stubbed):
        asked = {"InstanceId": ID, "InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
        aws.answers("ec2", "modify_instance_attribute", {}, asked)
        await keep_disk_on_power_off(aws, ID)

    async def test_a_secret_is_decrypted(self, aws: Stubbed):
        asked = {"Name": "/hearth/default/token", "WithDecryption": True}
        aws.answers("ssm", "get_parameter", {"Parameter": {"Value": "abc"}}, asked)
        assert await parameter(pool_of(aws), "/hearth/default/token") == "abc"

    async def test_a_missing_parameter_says_how_it_is_made(self, aws: Stubbed):
        aws.refuses("ssm", "get_parameter", "ParameterNotFound")
        with pytest.raises(CloudError, match=r"/hearth/default/token is missing.*hearth infra up ec2"):
            await parameter(pool_of(aws), "/hearth/default/token")

    async def test_the_log_s_end_is_asked_for(self, aws: Stubbed):
        asked = {"logGroupName": "hearth-default", "logStreamName": ID, "limit": 5, "startFromHead": False}
        events = {"events": [{"message": "one"}, {"message": " two\n"}, {"message": " "}]}
        aws.answers("logs", "get_log_events", events, asked)
        assert await log_tail(pool_of(aws), ID) == "one | two"

    @pytest.mark.parametrize("silent", [True, False], ids=["no stream", "an empty stream"])
    async def test_where_nothing_was_logged_the_console_s_latest_output_is_asked_for(self, aws: Stubbed, silent: bool):
        if silent:
            aws.refuses("logs", "get_log_events", "ResourceNotFoundException")
        else:
            aws.answers("logs", "get_log_events", {"events": []})
        output = base64.b64encode(b"".join(b"line %d\r\n" % n for n in range(9))).decode()
        aws.answers("ec2", "get_console_output", {"Output": output}, {"InstanceId": ID, "Latest": True})
        assert await log_tail(pool_of(aws), ID) == "line 4 | line 5 | line 6 | line 7 | line 8"

    async def test_no_log_at_all_is_none(self, aws: Stubbed):
        aws.refuses("logs", "get_log_events", "ResourceNotFoundException")
        aws.refuses("ec2", "get_console_output", "UnsupportedOperation")
        assert await log_tail(pool_of(aws), ID) is None

    async def test_a_spot_price_of_the_machine_s_zone(self, aws: Stubbed):
        asked = {
            "AvailabilityZone": "us-east-1a",
            "InstanceTypes": ["g4dn.xlarge"],
            "ProductDescriptions": ["Linux/UNIX"],
            "StartTime": ANY,
            "MaxResults": 1,
        }
        aws.answers("ec2", "describe_instances", page(instance(InstanceLifecycle="spot")))
        aws.answers("ec2", "describe_spot_price_history", {"SpotPriceHistory": [{"SpotPrice": "0.157800"}]}, asked)
        assert await usd_per_hour(aws, await described(aws, ID), shipped_book()) == 0.1578

    async def test_disks_that_no_machine_has_are_deleted_when_they_are_old(self, aws: Stubbed):
        asked = {
            "Filters": [
                {"Name": "tag:hearth:pool", "Values": ["default"]},
                {"Name": "status", "Values": ["available"]},
            ]
        }
        old, young = datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)
        disks = [{"VolumeId": "vol-old", "CreateTime": old}, {"VolumeId": "vol-young", "CreateTime": young}]
        aws.answers("ec2", "describe_volumes", {"Volumes": disks}, asked)
        aws.answers("ec2", "delete_volume", {}, {"VolumeId": "vol-old"})
        assert await sweep_disks(pool_of(aws)) == ("vol-old",)

    async def test_a_tunnel_forwards_ollama_s_port(self, aws: Stubbed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        plugin = tmp_path / "session-manager-plugin"
        plugin.write_text("#!/bin/sh\nexit 7\n")
        plugin.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        ports = {"portNumber": ["11434"], "localPortNumber": ANY}
        asked = {"Target": ID, "DocumentName": "AWS-StartPortForwardingSession", "Parameters": ports}
        aws.answers("ssm", "start_session", {"SessionId": "s", "TokenValue": "t", "StreamUrl": "wss://s"}, asked)
        pool = pool_of(aws, stack={"access": Access.TUNNEL})
        machine = await seen(aws)
        with pytest.raises(ServerError, match=f"tunnel to {ID} ended at once .exit code 7."):
            await open_connection(pool, machine)

    async def test_the_stack_s_outputs_are_the_pool(self, aws: Stubbed):
        outputs = {
            "LaunchTemplateId": STACK.launch_template,
            "LaunchTemplateVersion": "3",
            "TableName": "hearth-default",
            "LogGroupName": "hearth-default",
            "AmiParameter": "/hearth/default/ami",
            "Subnets": "subnet-a,subnet-b",
            "Access": "private",
            "Port": "11434",
            "Slots": "8",
            "Config": STACK.config,
        }
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        stack = {
            "StackName": "hearth-default",
            "CreationTime": datetime.now(UTC),
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": told,
        }
        aws.answers("cloudformation", "describe_stacks", {"Stacks": [stack]}, {"StackName": "hearth-default"})
        assert (await open_pool(Settings(), aws)).stack == STACK
