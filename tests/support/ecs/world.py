"""SIMULATED: ECS's scheduler and its machines, over moto's control plane.

moto keeps what was asked for and starts no task. Here a thread looks at the desired count and starts so many: each task
is the real agent of the image, over a real embedded server, behind the balancer, on a machine that is registered with
the cluster. A task that goes is deregistered first, ends its pages, is told to end (SIGTERM), and its machine goes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.aws.front import AwsFront
from tests.support.aws.leash import end, leashed
from tests.support.aws.tables import make_table
from tests.support.ecs.balancer import Balancer, Target, balancer
from tests.support.waiting import PATIENCE, until

MODEL = "tesseract:eng"
NUM_CTX = 8192
SLOTS = 2
CLUSTER = SERVICE = TABLE = "hearth-ecs-default"
_LOOK_SECONDS = 0.1


@dataclass
class Task:
    """A task that runs."""

    name: str
    agent: subprocess.Popen[bytes]
    machine: str
    ip: str


@dataclass
class World:
    """The service, and what runs of it.

    Attributes:
        tasks: by the address under which they are targets.
        most: tasks that there are machines for.
        ended: exit codes of agents that were told to end.
        more_outputs: of the stack, such as the image of its tasks.
    """

    aws: AwsFront
    alb: Balancer
    directory: Path
    target_group: str = ""
    tasks: dict[str, Task] = field(default_factory=dict)
    most: int = 8
    ended: list[int] = field(default_factory=list)
    more_outputs: dict[str, str] = field(default_factory=dict)
    _going: list[threading.Thread] = field(default_factory=list)
    _number: int = 0
    _done: bool = False

    @property
    def _held(self) -> Path:
        return self.directory / "held"

    def hold(self) -> None:
        """Have no page end from now on."""
        self._held.touch()

    def let_go(self) -> None:
        """Have them end."""
        self._held.unlink()

    def make(self) -> None:
        """What `hearth infra up ecs` would have made, as far as runs see it."""
        ec2, ecs, elb = (self.aws.behind(name) for name in ("ec2", "ecs", "elbv2"))
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.image = ec2.register_image(Name="ecs", RootDeviceName="/dev/sda1", Architecture="x86_64")["ImageId"]
        self.target_group = elb.create_target_group(
            Name=SERVICE, Protocol="HTTP", Port=11434, VpcId=vpc, TargetType="ip"
        )["TargetGroups"][0]["TargetGroupArn"]
        ecs.create_cluster(clusterName=CLUSTER)
        containers = [{"name": "ollama", "image": "ollama", "memory": 512}]
        ecs.register_task_definition(family=SERVICE, containerDefinitions=containers)
        ecs.create_service(cluster=CLUSTER, serviceName=SERVICE, taskDefinition=SERVICE, desiredCount=0)
        make_table(self.aws.behind("dynamodb"), TABLE)
        outputs = {
            **{"Cluster": CLUSTER, "Service": SERVICE, "TargetGroup": self.target_group, "Url": self.alb.url},
            **{"TableName": TABLE, "Model": MODEL, "NumCtx": str(NUM_CTX), "Slots": str(SLOTS)},
            **{"MaxTasks": "4", "Kind": "g4dn.xlarge", **self.more_outputs},
        }
        body = {
            "Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "hearth-ecs"}}},
            "Outputs": {key: {"Value": value} for key, value in outputs.items()},
        }
        stack = {"StackName": SERVICE, "TemplateBody": json.dumps(body)}
        self.aws.behind("cloudformation").create_stack(**stack)

    @property
    def desired(self) -> int:
        return self._service()["desiredCount"]

    def scale(self, tasks: int) -> None:
        """SIMULATED, as moto evaluates no alarm: Application Auto Scaling changes the desired count."""
        self.aws.behind("ecs").update_service(cluster=CLUSTER, service=SERVICE, desiredCount=tasks)

    def delete(self) -> None:
        """Somebody takes the stack down."""
        self.aws.behind("ecs").delete_service(cluster=CLUSTER, service=SERVICE, force=True)

    def metric(self, name: str) -> list[float]:
        """What runs have published of one of the metrics that the alarms watch."""
        found = self.aws.behind("cloudwatch").get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "m",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "Hearth/ECS",
                            "MetricName": name,
                            "Dimensions": [{"Name": "Pool", "Value": "default"}],
                        },
                        "Period": 60,
                        "Stat": "Maximum",
                    },
                }
            ],
            StartTime=time.time() - 3600,
            EndTime=time.time() + 60,
        )
        return found["MetricDataResults"][0]["Values"]

    def ledger(self) -> dict[str, Any]:
        """What runs have agreed on."""
        found = self.aws.behind("dynamodb").get_item(TableName=TABLE, Key={"id": {"S": "slots#service"}})
        return json.loads(found["Item"]["ledger"]["S"])

    def wait(self, done: Callable[[], object]) -> None:
        """Wait as `until` does; what the tasks have logged is told if it fails."""
        try:
            until(done)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.logs()[-3000:]}") from None

    def warm(self) -> int:
        """Tasks that get requests."""
        return sum(target.healthy and not target.draining for target in list(self.alb.targets.values()))

    def kill(self, name: str) -> None:
        """A task dies with all that it has in flight, as when its machine is taken back."""
        agent = self.tasks[name].agent
        for process in [psutil.Process(agent.pid), *psutil.Process(agent.pid).children(recursive=True)]:
            process.kill()

    def logs(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in sorted(self.directory.glob("*.log")))

    def run(self) -> None:
        """ECS's scheduler."""
        while not self._done:
            desired = min(self.desired, self.most)
            for name, task in list(self.tasks.items()):
                if task.agent.poll() is not None:  # it died by itself
                    self._ended(name)
            while len(self.tasks) < desired:
                self._start()
            for name in list(self.tasks)[desired:]:
                thread = threading.Thread(target=self._stop, args=(name, self.tasks.pop(name)))
                thread.start()
                self._going.append(thread)
            self._tell_health()
            time.sleep(_LOOK_SECONDS)
        for thread in self._going:
            thread.join()
        for task in self.tasks.values():
            task.agent.terminate()
        for task in self.tasks.values():
            task.agent.wait(PATIENCE)

    def stop(self) -> None:
        self._done = True

    def _service(self) -> Any:
        return self.aws.behind("ecs").describe_services(cluster=CLUSTER, services=[SERVICE])["services"][0]

    def _start(self) -> None:
        self._number += 1
        ip = f"10.0.0.{self._number}"
        port, health = _free_port(), _free_port()
        settings = {
            **{"HEARTH_MODEL": MODEL, "HEARTH_NUM_CTX": str(NUM_CTX), "HEARTH_POLL_SECONDS": "0.1"},
            **{"HEARTH_OLLAMA_URL": f"http://127.0.0.1:{port}", "HEARTH_HEALTH_PORT": str(health)},
            **{"HEARTH_POOL": "default", "HEARTH_DRAIN_SECONDS": "300", "ENGINE_HELD": str(self._held)},
        }
        server = ["-m", "tasks.embedded", "--port", str(port), "--num-parallel", str(SLOTS)]
        engine = ["--engine", "tests.support.ecs.engines:held", "--quiet"]
        import sys

        log = self.directory / f"{ip}.log"
        agent = leashed("infra_scripts.ecs.agent", sys.executable, *server, *engine, log=log, environment=settings)
        machine = self._machine()
        self.tasks[ip] = Task(ip, agent, machine, ip)
        self.alb.targets[ip] = Target(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health}/")

    def _machine(self) -> str:
        ec2, ecs = self.aws.behind("ec2"), self.aws.behind("ecs")
        launched = ec2.run_instances(ImageId=self.image, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1)
        identity = {"instanceId": launched["Instances"][0]["InstanceId"], "region": "us-east-1"}
        registered = ecs.register_container_instance(cluster=CLUSTER, instanceIdentityDocument=json.dumps(identity))
        return registered["containerInstance"]["containerInstanceArn"]

    def _stop(self, name: str, task: Task) -> None:
        self.alb.drain(name)
        task.agent.terminate()
        self.ended.append(task.agent.wait(PATIENCE))
        self._machine_gone(task)

    def _ended(self, name: str) -> None:
        task = self.tasks.pop(name)
        self.alb.targets.pop(name, None)
        self._machine_gone(task)

    def _machine_gone(self, task: Task) -> None:
        ecs = self.aws.behind("ecs")
        ecs.deregister_container_instance(cluster=CLUSTER, containerInstance=task.machine, force=True)

    def _tell_health(self) -> None:
        """moto takes every registered target for healthy: those are registered that the balancer finds to be so."""
        elb = self.aws.behind("elbv2")
        told = elb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        known = {one["Target"]["Id"] for one in told}
        healthy = {name for name, target in list(self.alb.targets.items()) if target.state == "healthy"}
        for call, names in ((elb.register_targets, healthy - known), (elb.deregister_targets, known - healthy)):
            if names:
                call(TargetGroupArn=self.target_group, Targets=[{"Id": name, "Port": 11434} for name in names])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def ecs_world(aws: AwsFront, directory: Path) -> Iterator[World]:
    """A deployed service without a task, and a scheduler that acts."""
    directory.mkdir()
    with balancer() as alb:
        world = World(aws, alb, directory)
        world.make()
        thread = threading.Thread(target=world.run, name="ecs")
        thread.start()
        try:
            yield world
        finally:
            world.stop()
            thread.join()
            for task in world.tasks.values():
                if task.agent.poll() is None:
                    end(task.agent)
