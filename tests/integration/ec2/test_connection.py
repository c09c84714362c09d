"""A machine is reached by its private address, by TLS and a token, or through a tunnel, and in no other way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tasks.core.errors import CloudError, ServerError
from tasks.ollama.client import OllamaClient
from tests.integration.ec2.acquiring import acquired
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool

pytestmark = pytest.mark.long("launches a machine for each test: 3 s")


@pytest.mark.always
async def test_with_access_by_token_ollama_answers_clients_that_have_the_token(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="token", port=11435)
    used, allocation = await acquired()
    assert allocation.endpoint.url.startswith("https://")
    async with allocation.endpoint.client(5) as client:
        assert await client.version()
    async with OllamaClient(allocation.endpoint.url, certificate=allocation.endpoint.certificate) as stranger:
        with pytest.raises(ServerError, match="refuses access"):
            await stranger.version()
    await used.release(allocation)


async def test_a_server_with_another_certificate_is_not_trusted(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="token", port=11435)
    _, allocation = await acquired()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(f"{allocation.endpoint.url}/api/version")
    allocation.lease.release()


async def test_the_token_is_in_no_representation(aws: AwsFront, pools: Callable[..., Pool], machines: Machines):
    pools(access="token", port=11435)
    used, allocation = await acquired()
    assert allocation.endpoint.headers["Authorization"].removeprefix("Bearer ") not in repr(allocation)
    await used.release(allocation)


async def test_the_error_of_a_missing_token_names_the_remedy(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="token", port=11435)
    aws.behind("ssm").delete_parameter(Name="/hearth/default/token")
    with pytest.raises(CloudError, match=r"/hearth/default/token is missing.*infra up"):
        await acquired()
    machines.wait(lambda: machines.running() == [])


@pytest.mark.always
async def test_through_a_tunnel_ollama_answers_until_the_release(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="tunnel")
    used, allocation = await acquired()
    assert allocation.endpoint.url.startswith("http://127.0.0.1:")
    async with allocation.endpoint.client(5) as client:
        assert await client.version()
    tunnel = allocation.lease.connection.tunnel
    await used.release(allocation)
    assert tunnel.poll() is not None


async def test_a_run_whose_tunnel_ends_uses_another_machine(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="tunnel")
    used, allocation = await acquired()
    os.killpg(allocation.lease.connection.tunnel.pid, signal.SIGKILL)
    assert "tunnel" in await allocation.interruption.wait_gone()
    await used.release(allocation)
    assert machines.running() == [allocation.machine.id]


async def test_without_the_plugin_the_error_names_it(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    pools(access="tunnel")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="Session Manager plugin"):
        await acquired()
