"""The base job template of an ECS work pool: prefect-aws's template with defaults for Hearth's runs.

`python -m infra_scripts.worker.ecs --help` prints the options, and without `--help` the template, which is the
`--base-job-template` of `prefect work-pool create hearth --type ecs`; see docs/how-to/prefect-elsewhere.md.
"""

import json
import sys
from typing import Annotated, Any

import typer

from infra_scripts.common.errors import RequestError

# A run only renders pages and keeps records; models run elsewhere. Fargate offers 4 to 16 GB for 2 vCPU.
_CPU, _MEMORY_MB = 2048, 4096


def job_template(
    image: str,
    cluster: str,
    task_role: str,
    execution_role: str,
    vpc: str,
    subnets: list[str],
    security_groups: list[str],
    environment: dict[str, str],
) -> dict[str, Any]:
    """Return the template. Flows run on Fargate, because models run on the backend's machines.

    Args:
        image: image with Hearth installed, see Dockerfile.
        cluster: ARN or name of the cluster.
        task_role: ARN of the role of the runs: the policy of `hearth infra policy caller`, and S3.
        execution_role: ARN of the role that pulls the image and writes logs.
        vpc: VPC of the subnets.
        subnets: subnets from which Prefect's API, ECR and the machines can be reached.
        security_groups: security groups of the runs, which the machines' group must admit.
        environment: environment of the runs, such as HEARTH_OUTPUT; no secrets, because Prefect shows it.

    Raises:
        RequestError: prefect-aws is missing, or its version has other variables.
    """
    try:
        from prefect_aws.workers.ecs_worker import ECSWorker
    except ImportError:
        raise RequestError("The ECS worker is part of prefect-aws: pip install 'hearth-pages[aws]'.") from None
    network = {"subnets": subnets, "securityGroups": security_groups, "assignPublicIp": "DISABLED"}
    defaults: dict[str, Any] = {
        "image": image,
        "cluster": cluster,
        "launch_type": "FARGATE",
        "cpu": _CPU,
        "memory": _MEMORY_MB,
        "task_role_arn": task_role,
        "execution_role_arn": execution_role,
        "vpc_id": vpc,
        "network_configuration": {"awsvpcConfiguration": network},
        "configure_cloudwatch_logs": True,
        "env": environment,
    }
    template: dict[str, Any] = ECSWorker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    unknown = sorted(defaults.keys() - variables.keys())
    if unknown:
        raise RequestError(f"This prefect-aws's ECS worker has no {', '.join(unknown)}. Install prefect-aws 0.5.")
    for name, value in defaults.items():
        variables[name]["default"] = value
    return template


def main(
    image: Annotated[str, typer.Option(help="Container image with Hearth installed.")],
    cluster: Annotated[str, typer.Option(help="ARN or name of the ECS cluster.")],
    task_role: Annotated[str, typer.Option(help="ARN of the role of the runs.")],
    execution_role: Annotated[str, typer.Option(help="ARN of the role that pulls the image and writes logs.")],
    vpc: Annotated[str, typer.Option(help="Id of the VPC of the subnets.")],
    subnet: Annotated[list[str], typer.Option(help="Id of a subnet of the runs; repeatable.")],
    security_group: Annotated[list[str], typer.Option(help="Id of a security group of the runs; repeatable.")],
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Environment variable of the runs, such as HEARTH_OUTPUT; repeatable."),
    ] = None,
) -> None:
    """Print the template."""
    environment = dict(variable.split("=", 1) for variable in env or ())
    template = job_template(image, cluster, task_role, execution_role, vpc, subnet, security_group, environment)
    sys.stdout.write(json.dumps(template, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
