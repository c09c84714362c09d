"""All backends, by name. A new one is a module, or a folder, and a line here."""

from tasks.backends import url
from tasks.backends.ec2 import backend as ec2
from tasks.backends.ecs import backend as ecs
from tasks.backends.local import embedded, ollama
from tasks.backends.registration import Registration
from tasks.backends.sagemaker import backend as sagemaker
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings

_KNOWN = (
    *(url.REGISTRATION, ollama.REGISTRATION, embedded.REGISTRATION),
    *(ec2.REGISTRATION, ecs.REGISTRATION, sagemaker.REGISTRATION),
)
BACKENDS: dict[BackendName, Registration] = {known.name: known for known in _KNOWN}
"""In the order in which `auto` tries them, and `hearth check` shows them."""


def clouds(settings: Settings) -> list[Registration]:
    """Return the backends whose clouds are asked: the chosen one or, if it has no cloud, those that are configured."""
    chosen = BACKENDS.get(settings.backend)
    if chosen is not None and chosen.status is not None:
        return [chosen]
    return [known for known in BACKENDS.values() if known.is_configured(settings)]
