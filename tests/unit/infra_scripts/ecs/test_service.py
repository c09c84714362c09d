"""The ECS service's template: judged by cfn-lint, and by what must and must never be in it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra_scripts.common.errors import RequestError
from infra_scripts.ecs.service import IMAGE_FILES, EcsStack, parameters, template
from tasks.settings.settings import Settings
from tests.support.infra.linted import decode, lint
from tests.support.infra.services import service

ECS = Path(IMAGE_FILES[0]).parent


@pytest.fixture(scope="module", params=["gpu", "fargate"])
def stack(request: pytest.FixtureRequest) -> EcsStack:
    return service(capacity=request.param)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    parsed, errors = decode(template(service()))
    assert not errors
    found: dict[str, Any] = {name: one["Properties"] for name, one in parsed["Resources"].items()}
    return found


class TestTemplate:
    def test_cfn_lint_finds_nothing_wrong(self):
        assert not lint(template(service()), "us-east-1", "eu-central-1")

    def test_it_is_small_enough_to_be_sent(self):
        assert len(template(service())) < 51_200

    def test_every_parameter_has_a_value_and_every_value_a_parameter(self, stack: EcsStack):
        parsed, _ = decode(template(stack))
        given = parameters(stack, vpc="vpc-1", subnets=("subnet-1", "subnet-2"), ami="ami-1")
        assert set(parsed["Parameters"]) == set(given)

    def test_its_outputs_are_those_that_runs_look_for(self):
        parsed, _ = decode(template(service()))
        wanted = {
            "Cluster",
            "Service",
            "TargetGroup",
            "Url",
            "TableName",
            "Model",
            "NumCtx",
            "Slots",
            "MaxTasks",
            "Kind",
        }
        assert wanted <= set(parsed["Outputs"])

    def test_a_task_takes_one_gpu(self, resources: dict[str, Any]):
        (container,) = resources["TaskDefinition"]["ContainerDefinitions"]
        assert container["ResourceRequirements"]["Fn::If"][:2] == ["Gpu", [{"Type": "GPU", "Value": "1"}]]

    def test_a_task_may_put_metrics_in_hearths_namespaces_alone_and_what_machines_tell_only_if_it_is_to(
        self, resources: dict[str, Any]
    ):
        (statement,) = resources["TaskRole"]["Policies"][0]["PolicyDocument"]["Statement"]
        assert statement["Action"] == "cloudwatch:PutMetricData"
        spaces = statement["Condition"]["StringEquals"]["cloudwatch:namespace"]
        assert spaces == {"Fn::If": ["Metrics", ["Hearth/ECS", "Hearth"], ["Hearth/ECS"]]}
        (container,) = resources["TaskDefinition"]["ContainerDefinitions"]
        told = {one["Name"]: one["Value"] for one in container["Environment"]}
        assert told["HEARTH_METRICS"] == {"Fn::If": ["Metrics", "yes", "no"]}

    def test_nothing_starts_until_somebody_asks_for_it(self, resources: dict[str, Any]):
        assert resources["Service"]["DesiredCount"] == 0
        assert resources["Machines"]["MinSize"] == "0"
        assert "DesiredCapacity" not in resources["Machines"]
        assert resources["Scaling"]["MinCapacity"] == 0

    def test_nobody_comes_in_but_who_was_named_and_tasks_are_reached_through_the_balancer_alone(
        self, resources: dict[str, Any]
    ):
        assert [rule["CidrIp"] for rule in resources["BalancerGroup"]["SecurityGroupIngress"]] == ["10.20.0.0/16"]
        assert resources["Balancer"]["Scheme"] == "internal"
        assert "SecurityGroupIngress" not in resources["TaskGroup"]
        for rule in (resources["PagesIn"], resources["HealthIn"]):
            assert rule["SourceSecurityGroupId"] == {"Ref": "BalancerGroup"}

    def test_a_page_goes_to_the_task_with_the_fewest_and_those_in_flight_end_before_a_task_goes(
        self, resources: dict[str, Any]
    ):
        attributes = {one["Key"]: one["Value"] for one in resources["TargetGroup"]["TargetGroupAttributes"]}
        read = Settings().read
        assert attributes["load_balancing.algorithm.type"] == "least_outstanding_requests"
        assert "slow_start.duration_seconds" not in attributes  # AWS refuses both together
        assert int(attributes["deregistration_delay.timeout_seconds"]) > read.timeout_seconds
        silence = max(read.first_seconds, read.silence_seconds)
        idle = {one["Key"]: one["Value"] for one in resources["Balancer"]["LoadBalancerAttributes"]}
        assert int(idle["idle_timeout.timeout_seconds"]) > max(silence, Settings().warm.load_seconds)

    def test_health_is_what_the_tasks_own_program_says(self, resources: dict[str, Any]):
        group = resources["TargetGroup"]
        assert (group["HealthCheckPort"], group["Matcher"]) == ("11436", {"HttpCode": "200"})

    def test_what_says_nothing_counts_as_unused_and_then_no_task_is_left(self, resources: dict[str, Any]):
        alarm, policy = resources["NobodyReads"], resources["ScaleIn"]["StepScalingPolicyConfiguration"]
        assert (alarm["MetricName"], alarm["TreatMissingData"]) == ("InUse", "breaching")
        assert alarm["AlarmActions"] == [{"Ref": "ScaleIn"}]
        assert policy["AdjustmentType"] == "ExactCapacity"
        assert [step["ScalingAdjustment"] for step in policy["StepAdjustments"]] == [0]

    def test_machines_want_a_token_for_metadata_and_their_disks_are_encrypted_and_go_with_them(
        self, resources: dict[str, Any]
    ):
        data = resources["LaunchTemplate"]["LaunchTemplateData"]
        assert (data["MetadataOptions"]["HttpTokens"], data["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
            "required",
            1,
        )
        (disk,) = data["BlockDeviceMappings"]
        assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["DeleteOnTermination"]) == (True, True)
        assert "KeyName" not in data

    def test_nothing_carries_the_tag_of_ec2_s_machines_whose_stoppers_would_end_it(self):
        assert "hearth:pool" not in template(service())

    def test_machines_are_of_the_types_that_were_asked_for(self, resources: dict[str, Any]):
        overrides = resources["Machines"]["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
        assert [one["InstanceType"] for one in overrides] == ["g4dn.xlarge", "g5.xlarge"]


class TestValues:
    @pytest.mark.parametrize(
        "changed",
        [
            {"pool": "Default"},
            {"region": "mars"},
            {"capacity": "cloud"},
            {"model": "x$(reboot)"},
            {"ollama_version": "latest"},
            {"allow_from": ()},
            {"allow_from": ("0.0.0.0/0",)},
            {"capacity": "fargate", "fargate_vcpu": 3},
            {"capacity": "fargate", "fargate_vcpu": 4, "fargate_gb": 7},
            {"capacity": "fargate", "fargate_vcpu": 8, "fargate_gb": 30},
        ],
        ids=str,
    )
    def test_what_would_not_work_or_not_be_safe_is_refused(self, changed: dict[str, object]):
        with pytest.raises((RequestError, ValidationError)):
            service(**changed)

    @pytest.mark.parametrize("changed", [{"model": "gemma3:12b"}, {"ollama_version": "0.24.0"}], ids=str)
    def test_another_image_has_another_tag(self, changed: dict[str, object]):
        assert service(**changed).image_tag != service().image_tag

    @pytest.mark.parametrize("changed", [{"slots": 8}, {"num_ctx": 4096}, {"max_tasks": 2}], ids=str)
    def test_what_is_no_part_of_the_image_leaves_it_as_it_is(self, changed: dict[str, object]):
        assert service(**changed).image_tag == service().image_tag


class TestImage:
    def test_it_holds_the_files_that_its_tag_is_made_of(self):
        copied = [line.split()[2:-1] for line in (ECS / "Dockerfile").read_text().splitlines() if "COPY" in line]
        assert [ECS / "Dockerfile", *(ECS.parent / name for name in copied[0])] == list(IMAGE_FILES)

    def test_ollama_runs_under_the_agent_and_not_as_root(self):
        lines = (ECS / "Dockerfile").read_text().splitlines()
        assert "USER hearth" in lines
        assert 'ENTRYPOINT ["python3", "/opt/hearth/agent.py", "ollama", "serve"]' in lines

    def test_shellcheck_finds_nothing_wrong_with_the_script_that_builds_it(self):
        shellcheck = Path(sys.executable).with_name("shellcheck")
        done = subprocess.run([shellcheck, ECS / "build.sh"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
