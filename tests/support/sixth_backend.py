"""A backend that no module of the project names: the embedded server, as a machine of a cloud that costs money.

`python -m tests.support.sixth_backend` is the `hearth` command with it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

from flows.cli.main import main
from tasks.backends.base import Allocation, MachineFacts
from tasks.backends.local.embedded import EmbeddedBackend
from tasks.backends.registration import CloudStatus, Confirm, Registration, Say
from tasks.backends.registry import BACKENDS
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings

USD_PER_HOUR = 36.0
NAME = BackendName.add("sixth")
MACHINE = "sixth-1"


class SixthBackend(EmbeddedBackend):
    """Its only machine reads with the embedded server."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.pool_name = "cloud nine"

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        began = time.time()
        allocation = await super().acquire(slots, holder, replicas)
        return replace(allocation, machine=MachineFacts(MACHINE, "a sixth machine", USD_PER_HOUR, began))


async def check(_: Settings) -> Findings:
    yield Finding(State.OK, "The sixth cloud answers.")


async def status(_: Settings) -> CloudStatus:
    return CloudStatus({"sixth": MACHINE}, "The sixth cloud has:", "Machines", ("machine",), ((MACHINE,),))


async def stop(_: Settings, names: Collection[str], say: Say, confirm: Confirm) -> set[str]:
    if confirm("Stop it?") and MACHINE in names:
        say(f"{MACHINE} stops.")
    return {MACHINE}


BACKENDS[NAME] = Registration(
    name=NAME,
    open=SixthBackend,
    check=check,
    status=status,
    stop=stop,
    not_billed=lambda: "Not in it: the sixth cloud's air.",
)

if __name__ == "__main__":
    main()
