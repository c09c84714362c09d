"""The address that clients take for AWS: it records, breaks and corrects what passes between them and moto."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import boto3
import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.aws.capacity import Capacity
from tests.support.aws.crashes import Crash, Crashes, Victim, asking, family
from tests.support.aws.descriptions import Descriptions
from tests.support.aws.direct import AsyncDirect
from tests.support.aws.faults import Fault, Faults, Injection, dropped
from tests.support.aws.fleets import Fleets
from tests.support.aws.lifecycle import Lifecycle
from tests.support.aws.moto_server import Moto
from tests.support.aws.permissions import Permissions
from tests.support.aws.refusals import Account, Refusals
from tests.support.aws.sagemaker import SageMaker
from tests.support.aws.serial import Serial
from tests.support.aws.sessions import Sessions
from tests.support.aws.shapes import misfits_of_answer, misfits_of_request
from tests.support.aws.spot import Spot
from tests.support.aws.stacks import Stacks
from tests.support.aws.tokens import Tokens
from tests.support.aws.wire import REGION, Answer, Call, DroppedError, Layer, Proceed, error_answer, parse
from tests.support.in_thread import in_thread
from tests.support.waiting import PATIENCE

KEYS = {"aws_access_key_id": "AKIAHEARTHHEARTHTEST", "aws_secret_access_key": "secret", "region_name": REGION}
PLUGINS = Path(__file__).with_name("bin")
HOPS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "expect"}


class AwsFront:
    """AWS, as far as its clients can tell.

    Attributes:
        url: its address.
        calls: everything that was asked, in order of arrival.
        capacity: what can be launched and started.
        lifecycle: how long states take, and why instances ended.
        spot: what became of spot requests.
        descriptions: where the console's output comes from.
        sagemaker: the endpoints that answer.
        account: what it refuses.
        misfits: what the front itself answered that is not as AWS's models say; the fixture fails a test for it.
    """

    def __init__(self, moto: Moto) -> None:
        self.url = ""
        self.moto = moto
        self.calls: list[Call] = []
        self.misfits: list[str] = []
        self._client = httpx.AsyncClient(base_url=moto.url, timeout=PATIENCE, trust_env=False, verify=False)
        direct = AsyncDirect(self._client)
        self.capacity = Capacity()
        self.spot = Spot()
        self.lifecycle = Lifecycle(direct)
        self.descriptions = Descriptions(self.lifecycle, self.spot, direct)
        self.sagemaker = SageMaker(self._client)
        self.account = Account()
        self._faults = Faults()
        self._crashes = Crashes()
        fleets = Fleets(self.capacity, direct)
        stacks = Stacks(Refusals(self.account, self.behind), self.lifecycle, direct, self.behind)
        states = [Tokens(), self.lifecycle, fleets, self.descriptions, stacks]
        corrections = [Permissions(self.account), *states, Sessions(direct), Serial(), self.sagemaker]
        self._answer = _chain([self._crashes, self._faults, *corrections], self._forward)
        self._path = os.environ["PATH"]
        self._clients: dict[str, Any] = {}
        self._pids: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()

    def inject(
        self,
        fault: Fault,
        *actions: str,
        times: int | None = 1,
        skip: int = 0,
        where: Callable[[Call], bool] = lambda _: True,
    ) -> Injection:
        """Have a fault happen to calls.

        Args:
            fault: One of faults.py.
            actions: Such as "CreateFleet", "ec2:*", "Describe*"; any if there is none.
            times: How often; None for always.
            skip: How many of the calls are spared first.
            where: Which calls beyond that, such as `lambda call: call.pid == mine`.
        """
        injection = Injection(fault, actions or ("*",), times, skip, where, [])
        self._faults.injections.append(injection)
        return injection

    def heal(self) -> None:
        """No fault happens any more."""
        self._faults.injections.clear()
        self._faults.unreachable = None

    def down(self, how: Fault | None = None) -> None:
        """Nothing is reachable: every connection breaks, or what else `how` says."""
        self._faults.unreachable = how or dropped()

    def up(self) -> None:
        """It is again."""
        self._faults.unreachable = None

    def kill_at(self, n: int, process: Victim, when: Literal["before", "after"] = "before", action: str = "*") -> Crash:
        """Kill a process at its n-th call from now on, before or after it takes effect; it gets no answer.

        Args:
            n: From 1.
            process: A pid, a Popen, or what gives a pid or None; calls of its children count, too.
            when: The call takes effect ("after") or not.
            action: Which calls count.
        """
        self._crashes.planned.append(Crash(n, process, when, action))
        return self._crashes.planned[-1]

    def invisible_for(self, seconds: float) -> None:
        """Hide instances that are launched from now on for so long."""
        self.lifecycle.invisible_s = seconds

    def takes(self, *, pending: float = 0.0, stopping: float = 0.0, shutting_down: float = 0.0) -> None:
        """How many seconds states last."""
        self.lifecycle.seconds = {"pending": pending, "stopping": stopping, "shutting-down": shutting_down}

    def called(self, *actions: str, by: int | None = None) -> list[Call]:
        """The calls of these actions (of all without one), of a process and its children if one is given."""
        return [
            call for call in self.calls if (not actions or call.action in actions) and (by is None or by in call.pids)
        ]

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process take it for AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "PATH": f"{PLUGINS}{os.pathsep}{self._path}",
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of it."""
        if options or service not in self._clients:
            made = boto3.client(service, endpoint_url=self.url, **KEYS, **options)
            return made if options else self._clients.setdefault(service, made)
        return self._clients[service]

    def behind(self, service: str) -> Any:
        """A boto3 client of moto itself: unrecorded, unbroken, uncorrected."""
        return _behind(service, self.moto.url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        call = parse(scope["method"], scope["path"], scope["query_string"].decode(), request.headers, body)
        transport = send.__self__.transport  # uvicorn's: nothing else can break a connection without an answer
        call.pids = self._asking(transport, scope)
        self.calls.append(call)
        try:
            answer = _invalid(call) or await self._answer(call)
        except DroppedError:
            transport.abort()
            return
        if answer.simulated:
            self.misfits += misfits_of_answer(call, answer)
        if call.outcome == "unanswered":
            call.outcome = "ok" if answer.ok else answer.code()
        await Response(answer.body, answer.status, answer.headers)(scope, receive, send)

    def _asking(self, transport: Any, scope: Scope) -> tuple[int, ...]:
        if transport not in self._pids:
            pid = asking(scope["client"][1], scope["server"][1])
            self._pids[transport] = tuple(family(pid)) if pid else ()
        return self._pids[transport]

    async def _forward(self, call: Call) -> Answer:
        headers = {name: value for name, value in call.headers.items() if name not in HOPS}
        response = await self._client.request(call.method, call.path, content=call.content, headers=headers)
        kept = {name: value for name, value in response.headers.items() if name not in HOPS}
        if call.method == "HEAD" and (length := response.headers.get("content-length")):
            kept["content-length"] = length
        return Answer(response.status_code, kept, response.content, simulated=False)

    async def close(self) -> None:
        await self.sagemaker.close()
        await self._client.aclose()


def _invalid(call: Call) -> Answer | None:
    """AWS's refusal of a request that its own models do not allow."""
    if found := misfits_of_request(call):
        code = "ValidationException" if call.headers.get("x-amz-target") else "ValidationError"
        return error_answer(call, "InvalidParameterValue" if call.service == "ec2" else code, "; ".join(found))
    return None


@cache
def _behind(service: str, url: str) -> Any:
    return boto3.client(service, endpoint_url=url, **KEYS)  # costs more than what it is used for


def _chain(layers: list[Layer], end: Proceed) -> Proceed:
    for layer in reversed(layers):
        end = partial(layer, proceed=end)
    return end


class _Server(uvicorn.Server):
    """Closes its application's client in the loop that it was used in."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self.config.app.close()


@contextmanager
def aws_front(moto: Moto) -> Iterator[AwsFront]:
    """A front on a free port, in a thread of its own."""
    options: dict[str, Any] = {
        **{"loop": "asyncio", "interface": "asgi3"},
        **{"date_header": False, "server_header": False},  # moto's are passed on
    }
    with in_thread(AwsFront(moto), _Server, **options) as front:
        yield front
