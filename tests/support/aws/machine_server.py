"""`python -m tests.support.aws.machine_server HOST PORT PLAN`: the embedded server, misbehaving as a plan says.

Everything but the misbehaviour is the real embedded server of tasks/embedded.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

import tasks.embedded.__main__ as command
from tasks.embedded import custom
from tasks.embedded.models import Model, Progress
from tests.support.aws.plan import Plan


class Misbehaving:
    """Counts the pages and models that are asked for, loads slowly, and hangs or dies in time."""

    def __init__(self, app: ASGIApp, plan: Plan) -> None:
        self._app = app
        self._plan = plan
        self._count = itertools.count(1)
        self._load: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or not."""
        if scope["type"] == "http" and not self._plan.answers:
            await asyncio.sleep(3600)
        if scope["type"] == "http" and scope["path"] == "/api/generate":
            number = next(self._count)
            if number == self._plan.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._plan.hangs_from is not None and number >= self._plan.hangs_from:
                await asyncio.sleep(3600)
            # It goes on when whoever asked first gives up, and all that ask meanwhile wait for it.
            self._load = self._load or asyncio.create_task(asyncio.sleep(self._plan.load_s))
            await asyncio.shield(self._load)
        await self._app(scope, receive, send)


class PulledStore(custom.CustomStore):
    """The engine's model is missing until it has been pulled."""

    plan = Plan()
    pulled = False

    def models(self) -> list[Model]:
        return super().models() if self.pulled else []

    def find(self, name: str) -> Model | None:
        return super().find(name) if self.pulled else None

    def pull(self, name: str) -> Iterator[Progress]:
        steps = 10
        for step in range(steps):
            yield {"status": "pulling weights", "completed": step * 100, "total": steps * 100}
            time.sleep(self.plan.pull_s / steps)
        self.pulled = True
        yield from super().pull(name)


def main(host: str, port: str, text: str) -> int:
    """Serve until killed."""
    plan = Plan(**json.loads(text))
    build = command.build_app

    def build_app(*arguments, **options):
        app = build(*arguments, **options)
        app.add_middleware(Misbehaving, plan=plan)
        return app

    command.build_app = build_app
    custom.DEFAULT_MODEL = plan.model
    if not plan.pulled:
        PulledStore.plan = plan
        command.CustomStore = PulledStore
    engine = ["--engine", plan.engine] if plan.engine else []
    return command.main(["--host", host, "--port", port, "--num-parallel", str(plan.slots), *engine])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
