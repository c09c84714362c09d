"""The registry of the stacks that `hearth infra` deploys: one line each.

To add one, for example `queue`:

1. Put its template and its code into a folder `infra_scripts/queue/` (`template.yaml`, `policies/caller.json` and
   `deployer.json`; `common.cloudformation.Stack` creates and deletes a stack, and `aws.session.client(...)` with
   `config=aws.config` makes clients that `Aws` lacks).
2. Write `flows/stacks/queue.py`: a subclass of `flows.stacks.base.Deployment`, bound to the name `deployment`.
   Making it must not fail because an option is missing that `down` and `status` do not need.
3. Add the line `QUEUE = "queue"` to `StackName`. The module is found by this name.
4. Add its resource types to `infra_scripts/iam/kinds.yaml`, its forms to `tests/support/infra/deployments.py`, and
   run `python -m tests.support.iam_facts`: the tests then list what its deployer's policy lacks.

Modules are imported on demand, so that `hearth --help` stays fast.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import RequestError

if TYPE_CHECKING:
    from flows.stacks.base import Deployment
    from tasks.settings.settings import Settings


class StackName(StrEnum):
    """The name of a stack on the command line."""

    EC2 = "ec2"
    MONITORING = "monitoring"
    SAGEMAKER = "sagemaker"
    ECS = "ecs"
    LAMBDA = "lambda"


def open_deployment(name: StackName, settings: Settings, options: Options, region: str) -> Deployment:
    """Return the stack of that name with its settings.

    Raises:
        RequestError: the stack does not support an option.
    """
    deployment: Deployment = import_module(f"flows.stacks.{name}").deployment(settings, options, region)
    for option in sorted(options.non_default() - deployment.supported_options):
        raise RequestError(f"The {name} stack does not support --{option.replace('_', '-')}. Remove it.")
    return deployment
