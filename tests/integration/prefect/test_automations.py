"""`hearth infra automations` on a real Prefect server: what it creates, and when the automations fire."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.system import Secret
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestrator.automations import SWEEP, AutomationOptions, Change, apply_automations, define_automations
from tasks.core.errors import InputError
from tests.integration.prefect.web_backend import Receiver, receiver
from tests.support import pdfs
from tests.support.commands import ROOT, Hearth, PrefectServer
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("makes automations on a Prefect server: 3 s a test")

NAMES = ("a run failed", "a run vanished", "a run stands still", "a budget is spent")

SPENDS = """
from prefect import flow
from flows.orchestrator.run_events import emit_over_budget
from tasks.core.budget import Budget

@flow(name="process-batch", flow_run_name="batch of tonight")
def spends():
    emit_over_budget(Budget(usd=2.0), 1.9)
    emit_over_budget(Budget(usd=2.0), 2.01)

spends()
"""

GOES = """
import pathlib
import sys
import time
from prefect import flow
from flows.orchestrator import run_events
from tasks.core.events import Progress

run_events.PROGRESS_SECONDS = 0.5
name, stop = sys.argv[1], pathlib.Path(sys.argv[2])

@flow(name="process-document", flow_run_name=name)
def goes():
    listener = run_events.ProgressEvents()
    listener(Progress("reading"))
    while not stop.exists():
        if name == "goes on":
            listener(Progress("reading"))
        time.sleep(0.2)

goes()
"""


@pytest.fixture
def on_call(hearth: Hearth, prefect: PrefectServer) -> Iterator[Receiver]:
    """Somebody who is told by the webhook block `on-call`; the sweep is deployed, and no automation left."""
    assert hearth("infra", "automations", "--remove").code == 0
    flow_name, name = SWEEP.split("/")
    sweep = prefect.ask("POST", "flows/", json={"name": flow_name}).json()["id"]
    prefect.ask("POST", "deployments/", json={"name": name, "flow_id": sweep})
    with receiver(refused=0) as taken, temporary_settings({PREFECT_API_URL: prefect.api}):
        Webhook(url=taken.url).save("on-call", overwrite=True)
        yield taken
    for each in prefect("automations"):
        prefect.ask("DELETE", f"automations/{each['id']}")


def told(on_call: Receiver, subject: str) -> list[str]:
    """Whom was told what, of runs that are the subject."""
    bodies = [json.loads(body) for _, body in on_call.received]
    return [body["body"] for body in bodies if body["subject"] == f"Hearth: a run {subject}"]


def until_triggers_know_all(prefect: PrefectServer, on_call: Receiver) -> None:
    """Wait until the server acts on an automation that was made last: it learns of them one after the other."""
    block = str(Webhook.load("on-call")._block_document_id)
    call = {"type": "call-webhook", "block_document_id": block, "payload": json.dumps({"subject": "heard"})}
    trigger = {"type": "event", "posture": "Reactive", "expect": ["tests.heard"], "threshold": 1, "within": 0}
    prefect.ask("POST", "automations/", json={"name": "tests: heard", "trigger": trigger, "actions": [call]})

    def heard() -> bool:
        now, resource = datetime.now(UTC).isoformat(), {"prefect.resource.id": "tests.heard"}
        event = {"id": str(uuid.uuid4()), "occurred": now, "event": "tests.heard", "resource": resource}
        prefect.ask("POST", "events", json=[event])
        return any(json.loads(body)["subject"] == "heard" for _, body in on_call.received)

    until(heard)


def changed(wanted: AutomationOptions | None) -> dict[str, str]:
    """What became of each automation."""

    async def applied() -> list[tuple[str, Change]]:
        async with get_client() as client:
            return await apply_automations(
                client, await define_automations(client, wanted) if wanted is not None else []
            )

    return {name.removeprefix("Hearth: "): change for name, change in asyncio.run(applied())}


def test_automations_are_created_once_updated_kept_disabled_and_deleted(prefect: PrefectServer, on_call: Receiver):
    notify = AutomationOptions(notify="webhook/on-call")
    assert changed(notify) == dict.fromkeys(NAMES, "created")
    assert changed(notify) == dict.fromkeys(NAMES, "unchanged")

    (stalled,) = [each for each in prefect("automations") if each["name"] == "Hearth: a run stands still"]
    one = f"automations/{stalled['id']}"
    prefect.ask("PATCH", one, json={"enabled": False})
    again = changed(replace(notify, stalled_minutes=30, cancel_stalled=True))
    assert again == {**dict.fromkeys(NAMES, "unchanged"), "a run stands still": "updated"}
    stalled = prefect.ask("GET", one).json()
    assert (stalled["enabled"], stalled["trigger"]["within"]) == (False, 1800)
    assert [action["type"] for action in stalled["actions"]] == ["call-webhook", "cancel-flow-run"]

    assert changed(AutomationOptions()) == {
        "a run failed": "updated",
        "a run vanished": "unchanged",
        "a run stands still": "deleted",
        "a budget is spent": "deleted",
    }
    assert changed(None) == {"a run failed": "deleted", "a run vanished": "deleted"}


def test_a_missing_block_or_one_that_cannot_notify_is_refused(on_call: Receiver):
    Secret(value="hush").save("quiet", overwrite=True)
    for block, why in (("slack-webhook/nobody", "no block slack-webhook/nobody"), ("secret/quiet", "cannot notify")):
        with pytest.raises(InputError, match=why):
            changed(AutomationOptions(notify=block))


@pytest.mark.long("waits for events to pass through Prefect's triggers")
def test_a_failed_run_notifies_and_starts_the_sweep_and_a_spent_budget_notifies(
    hearth: Hearth, prefect: PrefectServer, on_call: Receiver, serving: Callable[..., Any], tmp_path: Path
):
    made = hearth("infra", "automations", "--notify", "webhook/on-call")
    assert made.out.splitlines() == [f"Hearth: {name}: created" for name in NAMES], made.err
    until_triggers_know_all(prefect, on_call)
    quoted = pdfs.written(tmp_path / 'the "last".pdf', "Ink.")
    assert hearth.read(quoted, "--attempts", "1", **serving("silent").settings).code == 3
    until(lambda: told(on_call, "failed"))
    (failed,) = told(on_call, "failed")
    assert failed.startswith('process-document the "last", all pages is Failed: 0 pages read, 0 blank, 1 failed. ')
    swept = {"deployments": {"name": {"any_": ["sweep-machines"]}}}
    until(lambda: "AUTOMATION" in [(run["created_by"] or {}).get("type") for run in prefect("flow_runs", **swept)])

    subprocess.run([sys.executable, "-c", SPENDS], cwd=ROOT, env=hearth.environment, check=True)
    until(lambda: told(on_call, "has spent its budget"))
    assert told(on_call, "has spent its budget") == [
        "process-batch batch of tonight has cost USD 2.01 of 2.0 and begins no more pages."
    ]


@pytest.mark.long("waits for a run to stand still")
def test_a_stalled_run_notifies_and_is_cancelled_but_not_an_active_or_a_paused_one(
    hearth: Hearth, prefect: PrefectServer, on_call: Receiver, tmp_path: Path
):
    """An active run reports progress twenty times within the time after which a run counts as stalled."""
    changed(AutomationOptions(notify="webhook/on-call", stalled_minutes=0.2, cancel_stalled=True))
    until_triggers_know_all(prefect, on_call)
    command = [sys.executable, "-c", GOES]
    stop = tmp_path / "stop"
    going = [
        subprocess.Popen([*command, name, str(stop)], cwd=ROOT, env=hearth.environment) for name in ("stuck", "goes on")
    ]
    document = prefect.ask("POST", "flows/", json={"name": "process-document"}).json()["id"]
    paused = {"flow_id": document, "name": "paused", "state": {"type": "RUNNING", "name": "Running"}}
    run = prefect.ask("POST", "flow_runs/", json=paused).json()["id"]
    state = {"type": "PAUSED", "name": "Suspended"}
    prefect.ask("POST", f"flow_runs/{run}/set_state", json={"state": state, "force": True})
    until(lambda: told(on_call, "stands still"))
    stop.touch()
    assert [process.wait(PATIENCE) for process in going] == [0, 0]
    assert told(on_call, "stands still") == ["process-document stuck has shown no progress for 0.2 minutes."]
    cancelled = {"flow_runs": {"name": {"any_": ["stuck", "goes on", "paused"]}}}
    states = {each["name"]: each["state_name"] for each in prefect("flow_runs", **cancelled)}
    assert states["paused"] == "Suspended"
    assert states["goes on"] == "Completed"
