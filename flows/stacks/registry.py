"""The stacks that `hearth infra` knows: a registry of one line each.

To add one, say `queue`:

1. Put its template and mechanics into a folder `infra_scripts/queue/` (`template.yaml`, `policies/caller.json` and
   `deployer.json`; `common.cloudformation.Stack` brings a stack up and down, and `aws.session.client(...)` with
   `config=aws.config` makes the clients that `Aws` has not).
2. Write `flows/stacks/queue.py`, thin over them: a class that satisfies `common.deployment.Deployment`, and
   `def deployment(settings: Settings, options: Options, region: str) -> Deployment` that makes it of the settings. It
   may not fail for want of an option that `down` and `status` do not need.
3. Add the line `QUEUE = "queue"` to `StackName`. The module is found by this name.
4. Add its resources' types to `infra_scripts/iam/kinds.py`, its forms to `tests/support/infra/deployments.py`, and
   run `python -m tests.support.iam_facts`: the tests then say what its deployer's policy lacks.

Modules are imported when they are asked for, so that `hearth --help` stays quick.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from infra_scripts.common.deployment import Deployment, Options
from infra_scripts.common.errors import RequestError

if TYPE_CHECKING:
    from tasks.settings.settings import Settings


class StackName(StrEnum):
    """What can be deployed, as it is called on the command line."""

    EC2 = "ec2"
    MONITORING = "monitoring"
    SAGEMAKER = "sagemaker"
    ECS = "ecs"
    LAMBDA = "lambda"


def open_deployment(name: StackName, settings: Settings, options: Options, region: str) -> Deployment:
    """The stack of a name, with its settings.

    Raises:
        RequestError: it does not take an option that was given.
    """
    deployment: Deployment = import_module(f"flows.stacks.{name}").deployment(settings, options, region)
    for option in sorted(options.non_default() - deployment.supported_options):
        raise RequestError(f"--{option.replace('_', '-')} means nothing to the stack {name}. Leave it away.")
    return deployment
