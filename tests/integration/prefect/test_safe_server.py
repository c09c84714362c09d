"""The Prefect server that Hearth starts serves only its user, and whoever has the password."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import websockets
import websockets.exceptions

from tests.integration.prefect.hearth_up import Up, brought_up, processes
from tests.support import forkserver
from tests.support.browser import browser
from tests.support.commands import ROOT
from tests.support.pdfs import written
from tests.support.tools import CHROMEDRIVER, CHROMIUM, needs
from tests.support.waiting import until

pytestmark = pytest.mark.long("brings up a server with a password, and runs the command as another user: 70 s")

NOBODY = 65534

SERVES = """
from prefect import flow

@flow
def hello(name: str):
    return f"Hello {name}"

if __name__ == "__main__":
    hello.serve(name="mine")
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with brought_up(tmp_path_factory.mktemp("up")) as up:
        yield up


@pytest.fixture
def secret(up: Up) -> str:
    return up.password


def events(up: Up) -> set[str]:
    return {each["event"] for each in up.post("/events/filter", limit=50, filter={})["events"]}


def asked_by_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_refused_and_cannot_find_the_password(up: Up, secret: str):
    deployment = up.deployment("process-document/on-demand")["id"]
    attack = json.dumps({"job_variables": {"command": "id"}, "parameters": {"job": {"document": "/a.pdf"}}})
    for path, body in (
        (f"/deployments/{deployment}/create_flow_run", attack),
        ("/block_documents/filter", '{"include_secrets": true}'),
        ("/admin/settings", None),
    ):
        sent = () if body is None else ("-d", body, "-H", "Content-Type: application/json")
        status = ("-s", "-o", "/dev/null", "-w", "%{http_code}")
        assert asked_by_nobody("curl", *status, *sent, up.api + path).stdout == "401"
    ours = processes("HEARTH_HOME", str(up.home))
    assert len(ours) >= 4
    for process in ours:
        assert secret not in " ".join(process.cmdline())
        seen = asked_by_nobody("cat", f"/proc/{process.pid}/environ")
        assert (seen.returncode, seen.stdout) == (1, "")
    assert (up.home / "prefect-password").stat().st_mode & 0o777 == 0o600
    assert (up.home / "prefect" / "profiles.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled"])
@pytest.mark.parametrize("token", [None, "hearth:guess"])
def test_a_web_socket_without_the_password_is_closed(up: Up, path: str, token: str | None):
    async def opened() -> Any:
        url = up.api.replace("http", "ws", 1) + path
        async with websockets.connect(url, subprotocols=[websockets.Subprotocol("prefect")]) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            return json.loads(await socket.recv())

    with pytest.raises(websockets.exceptions.ConnectionClosedError, match="1008"):
        asyncio.run(opened())


def test_a_request_for_another_host_name_is_refused(up: Up):
    """DNS rebinding: a page can make its own host name resolve to this machine."""
    for path in ("/admin/version", "/health"):
        for host in ("evil.example", "evil.example:4200", "127.0.0.1.evil.example"):
            assert httpx.get(up.api + path, headers={"Host": host}, auth=up.auth).status_code == 400
    port = httpx.URL(up.api).port
    assert httpx.get(f"http://localhost:{port}/api/admin/version", auth=up.auth).is_success


PAGE = """
<body>busy<script>
const api = "%s", runs = "/deployments/%s/create_flow_run", asks = [
  [runs, {method: "POST", headers: {"Content-Type": "application/json"}, body: %s}],
  [runs, {method: "POST", mode: "no-cors", body: %s}],
  ["/block_documents/filter", {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}],
  ["/health", {}],
];
async function tried([path, options]) {
  try { const answer = await fetch(api + path, options); return answer.type + " " + answer.status; }
  catch (error) { return "refused"; }
}
Promise.all(asks.map(tried)).then(told => { document.body.innerText = told.join(", "); });
</script></body>
"""


@pytest.fixture
def foreign(up: Up) -> Iterator[str]:
    """A page of another origin, that asks Prefect for what an attacker wants."""
    body = json.dumps(json.dumps({"parameters": {"job": {"document": "/attack.pdf"}}}))
    page = PAGE % (up.api, up.deployment("process-document/on-demand")["id"], body, body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.long("drives a browser")
@needs(CHROMIUM, CHROMEDRIVER)
def test_a_page_of_another_origin_is_refused_in_a_real_browser(up: Up, foreign: str):
    """Any page may send the second request; it is answered with 401, which the page cannot read."""
    port = httpx.URL(up.api).port
    with browser(foreign, flags=("--host-resolver-rules=MAP evil.example 127.0.0.1",)) as shown:
        shown.open("", "refused, opaque 0, refused, refused")
        shown.driver.get(f"http://evil.example:{port}/")
        shown.wait_for("Invalid host header")
        # Its own page gets as far as the question for the password.
        shown.driver.get(f"http://localhost:{port}/")
        shown.wait_for("Login")
    runs = up.post("/flow_runs/filter", deployments={"name": {"any_": ["on-demand"]}})
    assert not [run for run in runs if run["parameters"] == {"job": {"document": "/attack.pdf"}}]


def test_states_tasks_logs_and_artifacts_of_a_run_are_recorded(up: Up, tmp_path: Path):
    paper = written(tmp_path / "told.pdf", "One.", "Two.")
    run = up.ended(up.run("process-document/on-demand", job={"document": str(paper), "output": str(tmp_path)}))
    assert run["state_name"] == "Completed"
    wanted = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    until(lambda: [task["state_name"] for task in up.post("/task_runs/filter", **wanted)] == ["Completed"] * 3)
    until(lambda: up.post("/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}))
    assert up.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    custom = {"prefect.flow-run.Completed", "prefect.task-run.Completed", "hearth.run.progress"}
    until(lambda: custom <= events(up))
    until(lambda: "prefect.flow-run.heartbeat" in events(up))


@pytest.mark.long("waits for events to pass through Prefect's triggers")
def test_automations_fire(up: Up):
    assert up.hearth("infra", "automations").code == 0
    failed = up.ended(up.run("process-document/on-demand", job={"document": "/no/such.pdf"}))
    assert failed["state_name"] == "Failed"
    swept = {"deployments": {"name": {"any_": ["sweep-machines"]}}}
    until(
        lambda: "AUTOMATION" in [(run["created_by"] or {}).get("type") for run in up.post("/flow_runs/filter", **swept)]
    )


def prefects(up: Up, *arguments: str, **environment: str) -> None:
    """Prefect's own command, as a user calls it in a shell."""
    forkserver.run("prefect", *arguments, cwd=ROOT, env={**up.hearth.environment, **environment})


def runs_of(up: Up, name: str) -> list[dict[str, Any]]:
    return up.post("/flow_runs/filter", flow_runs={"parent_flow_run_id": None, "name": {"any_": [name]}})


def test_prefects_command_finds_the_server_through_the_profile_or_two_variables(up: Up, secret: str):
    ways = {"profile": {"PREFECT_PROFILE": "hearth"}, "two": {"PREFECT_API_URL": up.api}}
    ways["two"]["PREFECT_API_AUTH_STRING"] = (up.home / "prefect-password").read_text().strip()
    for name, environment in ways.items():
        run = ("--flow-run-name", f"by-{name}", "--param", 'request={"pages": 10}', "--start-in", "1 hour")
        prefects(up, "deployment", "run", "plan-costs/plan-costs", *run, **environment)
        assert len(runs_of(up, f"by-{name}")) == 1


@pytest.mark.long("serves a flow of its own")
def test_a_users_own_flow_is_served(up: Up, tmp_path: Path):
    script = tmp_path / "hello.py"
    script.write_text(SERVES)
    environment = {**up.hearth.environment, "PREFECT_PROFILE": "hearth", "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.DEVNULL) as serving:
        try:
            until(lambda: up.post("/deployments/filter", deployments={"name": {"any_": ["mine"]}}))
            assert up.ended(up.run("hello/mine", name="you"))["state_name"] == "Completed"
        finally:
            serving.terminate()


@pytest.mark.long("another run of the command")
def test_a_key_for_prefect_cloud_is_not_used(up: Up, tmp_path: Path):
    paper = written(tmp_path / "keyed.pdf", "One.")
    outcome = up.hearth.read(paper, "--output", tmp_path / "out", PREFECT_API_KEY="pnu_for_another_server")
    assert outcome.code == 0, outcome.err
    assert [run["state_name"] for run in runs_of(up, "keyed, all pages")] == ["Completed"]


@pytest.mark.long("brings it up again, by an interpreter of its own")
def test_the_password_is_printed_to_a_terminal_or_pipe_but_not_into_a_file(up: Up, secret: str, tmp_path: Path):
    assert f"{secret} (stored in {up.home / 'prefect-password'})" in up.told
    with (tmp_path / "up.log").open("w") as log:
        command = [sys.executable, "-P", "-m", "flows.cli.main", "up"]
        subprocess.run(command, cwd=ROOT, env=up.hearth.environment, stdout=log, stderr=log, check=True)
    told = (tmp_path / "up.log").read_text()
    assert secret not in told
    assert f"stored in {up.home / 'prefect-password'}" in told
    kept = {up.home / "prefect-password", up.home / "prefect" / "profiles.toml"}
    for path in set(up.home.rglob("*")) - kept:
        if path.is_file():
            assert secret.partition(":")[2].encode() not in path.read_bytes(), path
