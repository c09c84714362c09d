"""All backends, by name. A new one is a module, or a folder, and a line in each table."""

from collections.abc import Callable

from tasks.backends import url
from tasks.backends.base import Backend
from tasks.backends.ec2 import backend as ec2
from tasks.backends.ec2 import check as ec2_check
from tasks.backends.ecs import backend as ecs
from tasks.backends.ecs import check as ecs_check
from tasks.backends.local import embedded, ollama
from tasks.backends.sagemaker import backend as sagemaker
from tasks.backends.sagemaker import check as sagemaker_check
from tasks.core.finding import Findings
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings

BACKENDS: dict[BackendName, Callable[[Settings], Backend]] = {
    BackendName.URL: url.UrlBackend,
    BackendName.OLLAMA: ollama.OllamaBackend,
    BackendName.EMBEDDED: embedded.EmbeddedBackend,
    BackendName.EC2: ec2.Ec2Backend,
    BackendName.SAGEMAKER: sagemaker.SagemakerBackend,
    BackendName.ECS: ecs.EcsBackend,
}

# Those that `auto` may take, in its order: why it takes them, or None. It takes nothing that costs money.
OFFERS: dict[BackendName, Callable[[Settings], str | None]] = {
    BackendName.URL: url.offer,
    BackendName.OLLAMA: ollama.offer,
    BackendName.EMBEDDED: embedded.offer,
}

CHECKS: dict[BackendName, Callable[[Settings], Findings]] = {
    BackendName.URL: url.check,
    BackendName.OLLAMA: ollama.check,
    BackendName.EMBEDDED: embedded.check,
    BackendName.EC2: ec2_check.check,
    BackendName.ECS: ecs_check.check,
    BackendName.SAGEMAKER: sagemaker_check.check,
}
