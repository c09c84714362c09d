"""All commands of `hearth infra`."""

from flows.cli.automations import automations
from flows.cli.doctor import doctor
from flows.cli.infra import infra
from flows.cli.smoke import smoke

for _command in (doctor, smoke, automations):
    infra.command()(_command)

__all__ = ["infra"]
