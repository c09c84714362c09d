"""Machines are reached with a token or through a tunnel, as pools say."""

from __future__ import annotations

import json
import os
import ssl
import subprocess

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.aws.visits import serving

pytestmark = pytest.mark.long("tests the harness")


def test_a_pool_with_a_token_is_reached_over_tls_with_it(aws: AwsFront, pools, machines: Machines):
    pool = pools(access="token")
    launch(aws, pool)
    machine = serving(machines)
    told = {
        name: aws.client("ssm").get_parameter(Name=f"/hearth/default/{name}", WithDecryption=True) for name in SECRETS
    }
    token, certificate = (told[name]["Parameter"]["Value"] for name in SECRETS)
    trusted = ssl.create_default_context(cadata=certificate)
    trusted.check_hostname = False
    url = f"https://{machine.address}:{pool.outputs['Port']}"
    with httpx.Client(base_url=url, verify=trusted) as client:
        machines.wait(lambda: opens(client))
        assert client.get("/api/version").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/version", headers=headers).json()["version"]
        assert "success" in client.post("/api/pull", json={"model": "tesseract:eng"}, headers=headers).text
        machine.crash()
        assert client.get("/api/version", headers=headers).status_code == 502


SECRETS = ("token", "tls-certificate")


def opens(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 401
    except httpx.TransportError:
        return False


def test_a_tunnel_of_ssm_leads_to_the_machine(aws: AwsFront, pool: Pool, machines: Machines, free_port: int):
    name = launch(aws, pool)
    machine = serving(machines)
    ports = {"portNumber": ["11434"], "localPortNumber": [str(free_port)]}
    target = {"Target": name, "DocumentName": "AWS-StartPortForwardingSession", "Parameters": ports}
    session = aws.client("ssm").start_session(**target)
    facts = {"AWS_SSM_START_SESSION_RESPONSE": json.dumps(session, default=str)}
    command = ["session-manager-plugin", *facts, "us-east-1", "StartSession", "", json.dumps(target), aws.url]
    with subprocess.Popen(command, env={**os.environ, **facts}) as plugin:
        try:
            machines.wait(lambda: reachable(f"http://127.0.0.1:{free_port}"))
        finally:
            plugin.kill()
    machines.vanish(machine)
    with pytest.raises(ClientError, match="TargetNotConnected"):
        aws.client("ssm").start_session(Target=name)


def reachable(url: str) -> bool:
    try:
        return httpx.get(url).text == "Ollama is running"
    except httpx.TransportError:
        return False
