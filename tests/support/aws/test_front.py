"""The front records, breaks and kills as it says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.support.aws.faults import denied, dropped, error, hang, late_answer, lost_answer, slow, throttled
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import described, fleet, launch
from tests.support.aws.leash import ROOT
from tests.support.aws.pool import Pool
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("tests the harness")

ONCE = Config(retries={"total_max_attempts": 1})
HASTY = Config(retries={"total_max_attempts": 1}, read_timeout=0.5)
ASKS = """
import boto3, sys
sts = boto3.client("sts")
for number in range(1, 6):
    sts.get_caller_identity()
    print(number, flush=True)
    boto3.client("ssm").put_parameter(Name=f"/{number}", Value="x", Type="String")
"""


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


@pytest.mark.always
def test_a_call_is_recorded_with_who_asked_for_what_and_how_it_ended(aws: AwsFront):
    aws.client("ec2").describe_vpcs(VpcIds=[])
    with pytest.raises(ClientError):
        aws.client("ssm").get_parameter(Name="/none")

    first, second = aws.calls
    assert (first.service, first.action, first.outcome, first.pid) == ("ec2", "DescribeVpcs", "ok", os.getpid())
    assert (second.service, second.action, second.asked) == ("ssm", "GetParameter", {"Name": "/none"})
    assert second.outcome == "ParameterNotFound"


def test_every_service_of_hearth_is_reached(aws: AwsFront, pool: Pool):
    assert aws.client("sts").get_caller_identity()["Account"]
    assert aws.client("iam").list_roles()["Roles"] is not None
    assert aws.client("logs").describe_log_groups()["logGroups"][0]["logGroupName"] == "/hearth/default"
    table = {"TableName": pool.outputs["TableName"]}
    aws.client("dynamodb").put_item(**table, Item={"id": {"S": "lock"}})
    assert aws.client("dynamodb").get_item(**table, Key={"id": {"S": "lock"}})["Item"]
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="pages")
    s3.put_object(Bucket="pages", Key="a/b c.json", Body=b"{}")
    assert s3.get_object(Bucket="pages", Key="a/b c.json")["Body"].read() == b"{}"
    assert s3.head_object(Bucket="pages", Key="a/b c.json")["ContentLength"] == 2
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="pages", Prefix="a/")["Contents"]] == ["a/b c.json"]


def test_a_pool_is_what_its_stack_says(aws: AwsFront, pool: Pool):
    (stack,) = aws.client("cloudformation").describe_stacks(StackName="hearth-default")["Stacks"]
    assert {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]} == pool.outputs
    found = aws.client("ssm").get_parameter(Name=pool.outputs["AmiParameter"])["Parameter"]["Value"]
    assert aws.client("ec2").describe_images(ImageIds=[found])["Images"]


@pytest.mark.parametrize(
    ("service", "call", "throttle", "refusal"),
    [
        ("ec2", "describe_vpcs", "RequestLimitExceeded", "UnauthorizedOperation"),
        ("ssm", "describe_parameters", "ThrottlingException", "AccessDeniedException"),
        ("dynamodb", "list_tables", "ThrottlingException", "AccessDeniedException"),
        ("cloudformation", "describe_stacks", "Throttling", "AccessDenied"),
        ("s3", "list_buckets", "SlowDown", "AccessDenied"),
    ],
)
def test_throttling_and_refusal_come_in_each_service_s_words(aws: AwsFront, service, call, throttle, refusal):
    ask = getattr(aws.client(service, config=ONCE), call)
    for fault, wanted in ((throttled(), throttle), (denied(), refusal)):
        aws.inject(fault)
        with pytest.raises(ClientError) as caught:
            ask()
        assert code(caught) == wanted
    ask()


def test_a_throttled_call_is_retried_by_boto(aws: AwsFront):
    injection = aws.inject(throttled(), "DescribeVpcs", times=2)
    aws.client("ec2").describe_vpcs()
    assert len(injection.hits) == 2
    assert [call.outcome for call in aws.calls] == ["throttled", "throttled", "ok"]


def test_a_fault_happens_to_the_chosen_calls_alone(aws: AwsFront):
    ec2 = aws.client("ec2", config=ONCE)
    aws.inject(error("Odd", "How odd.", 418), "DescribeV*", times=1, skip=1)
    ec2.describe_subnets()
    ec2.describe_vpcs()
    with pytest.raises(ClientError, match=r"Odd.*How odd\."):
        ec2.describe_volumes()
    ec2.describe_vpcs()


def test_a_dropped_call_has_no_effect_and_one_with_a_lost_answer_has(aws: AwsFront):
    ssm = aws.client("ssm", config=ONCE)
    for name, fault in (("/dropped", dropped()), ("/lost", lost_answer())):
        aws.inject(fault, "PutParameter")
        with pytest.raises(ConnectionClosedError):
            ssm.put_parameter(Name=name, Value="x", Type="String")
    assert [each["Name"] for each in ssm.describe_parameters()["Parameters"]] == ["/lost"]


def test_a_lost_launch_answer_leaves_an_instance_behind(aws: AwsFront, pool: Pool):
    aws.inject(lost_answer(), "CreateFleet")
    launch(aws, pool, ClientToken="same")  # boto tries again
    assert len(aws.called("CreateFleet")) == 2
    assert len(described(aws)) == 1


def test_a_hanging_call_outlasts_its_client(aws: AwsFront):
    aws.inject(hang(), "DescribeVpcs")
    with pytest.raises(ReadTimeoutError):
        aws.client("ec2", config=HASTY).describe_vpcs()


def test_calls_and_answers_can_be_late(aws: AwsFront):
    for fault in (slow(0.3), late_answer(0.3)):
        aws.inject(fault, "DescribeVpcs")
        began = time.monotonic()
        aws.client("ec2", config=ONCE).describe_vpcs()
        assert time.monotonic() - began >= 0.3


def test_all_is_unreachable_until_it_is_up_again(aws: AwsFront):
    aws.down()
    for service, call in (("ec2", "describe_vpcs"), ("sts", "get_caller_identity")):
        with pytest.raises(ConnectionClosedError):
            getattr(aws.client(service, config=ONCE), call)()
    aws.up()
    aws.client("ec2", config=ONCE).describe_vpcs()


@pytest.mark.parametrize(("when", "made"), [("before", {"/1"}), ("after", {"/1", "/2"})])
def test_a_process_dies_at_its_nth_call(aws: AwsFront, when: str, made: set[str]):
    process = subprocess.Popen(
        [sys.executable, "-c", ASKS], env={**os.environ, **aws.environment}, stdout=subprocess.PIPE, text=True
    )
    crash = aws.kill_at(4, process, when=when)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == -9
    assert out.split() == ["1", "2"]
    assert crash.call is not None
    assert crash.call.action == "PutParameter"
    assert {one["Name"] for one in aws.behind("ssm").describe_parameters()["Parameters"]} == made


def test_a_crash_that_is_not_reached_says_so(aws: AwsFront):
    script = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, ASKS]  # the calls are a child's
    process = subprocess.Popen(script, env={**os.environ, **aws.environment}, stdout=subprocess.DEVNULL)
    crash = aws.kill_at(100, process)
    assert process.wait(PATIENCE) == 0
    assert (crash.seen, crash.call) == (10, None)


def test_what_a_killed_session_started_goes_with_it(tmp_path: Path):
    script = f"""
import time, pathlib
from tests.support.aws.leash import leashed
server = leashed("http.server", 0, "--bind", "127.0.0.1", log=pathlib.Path({str(tmp_path)!r}) / "log")
print(server.pid, flush=True)
time.sleep(3600)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as session:
        try:
            child = psutil.Process(int(session.stdout.readline()))
            until(lambda: "Serving" in (tmp_path / "log").read_text())
        finally:
            session.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_calls_of_a_process_and_its_children_are_told_apart(aws: AwsFront):
    script = ["sh", "-c", '"$0" -c "import boto3; boto3.client(\'sts\').get_caller_identity()"; true', sys.executable]
    with subprocess.Popen(script, env={**os.environ, **aws.environment}) as process:
        aws.client("sts").get_caller_identity()
        assert process.wait(PATIENCE) == 0
    assert len(aws.calls) == 2
    assert len(aws.called("GetCallerIdentity", by=process.pid)) == 1


def test_denied_launches_launch_nothing(aws: AwsFront, pool: Pool):
    aws.inject(denied(), "CreateFleet")
    with pytest.raises(ClientError):
        fleet(aws, pool)
    assert described(aws) == []
