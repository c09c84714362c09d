"""Where Ollama runs: one module each, found by name. A new one is a module and a line in each table."""

from __future__ import annotations

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

BACKENDS: dict[BackendName, tuple[Callable[[Settings], Backend], Callable[[Settings], str | None]]] = {
    # In the order in which `auto` asks them whether they fit.
    BackendName.URL: (url.UrlBackend, url.offer),
    BackendName.OLLAMA: (ollama.OllamaBackend, ollama.offer),
    BackendName.EMBEDDED: (embedded.EmbeddedBackend, embedded.offer),
    # What costs money is used only by its name.
    BackendName.EC2: (ec2.Ec2Backend, ec2.offer),
    BackendName.SAGEMAKER: (sagemaker.SagemakerBackend, sagemaker.offer),
    BackendName.ECS: (ecs.EcsBackend, ecs.offer),
}

CHECKS: dict[BackendName, Callable[[Settings], Findings]] = {
    BackendName.URL: url.check,
    BackendName.OLLAMA: ollama.check,
    BackendName.EMBEDDED: embedded.check,
    BackendName.EC2: ec2_check.check,
    BackendName.ECS: ecs_check.check,
    BackendName.SAGEMAKER: sagemaker_check.check,
}
