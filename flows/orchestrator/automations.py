"""Automations in Prefect: what happens by itself when a run fails, stands still, vanishes or costs too much.

Prefect fires those that miss something even while flows run, when events come late or its server was away. None of them
stops a machine, therefore: they notify, and have the sweep look, which asks the leases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import (
    ActionTypes,
    CallWebhook,
    CancelFlowRun,
    ChangeFlowRunState,
    RunDeployment,
    SendNotification,
)
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from flows.orchestrator.run_events import LEFT, OVER_BUDGET, PROGRESS
from tasks.core.errors import InputError, UnavailableError

SWEEP = "sweep-machines/sweep-machines"
FLOWS = ["process-document", "process-batch"]
_PREFIX = "Hearth: "
_BEGINS = ("Running", "Retrying")
_ENDS = ("Completed", "Partial", "Stopped", "Skipped", "Failed", "Crashed", "TimedOut", "Cancelled")
_RESTS = ("Paused", "Suspended", "Resuming", "AwaitingRetry")
_ALIVE = "prefect.flow-run.heartbeat"
_ONCE = timedelta(minutes=1)


@dataclass(frozen=True)
class Wanted:
    """What automations are wanted.

    Attributes:
        notify: the notification block to use, as type/name, such as slack-webhook/on-call; None: nobody is told.
        stalled_minutes: how long a run may go on without a page, a stage or a download.
        vanished_minutes: how long a run may be silent before it is taken for dead. A run tells every 3 minutes that it
            lives (PREFECT_FLOWS_HEARTBEAT_FREQUENCY); two of these may be lost by the default.
        cancel_stalled: a run that stands still is cancelled, too.
    """

    notify: str | None = None
    stalled_minutes: float = 20.0
    vanished_minutes: float = 10.0
    cancel_stalled: bool = False


class Change(StrEnum):
    """What became of an automation."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


async def defined(client: PrefectClient, wanted: Wanted) -> list[AutomationCore]:
    """The automations as they should be; one that would have nothing to do is left out.

    Raises:
        InputError: there is no such notification block.
        UnavailableError: the sweep is not deployed.
    """
    notify = await _notify(client, wanted.notify) if wanted.notify else _silent
    try:
        sweep = (await client.read_deployment_by_name(SWEEP)).id
    except ObjectNotFound:
        raise UnavailableError(
            f"Prefect has no deployment {SWEEP}. Make it: hearth up, or prefect --no-prompt deploy --all."
        ) from None
    cancel: list[ActionTypes] = [CancelFlowRun()] if wanted.cancel_stalled else []
    silent = f"{wanted.vanished_minutes:g} minutes"
    crashed = f"Its process is gone: it has not told for {silent} that it lives."
    automations = [
        AutomationCore(
            name=f"{_PREFIX}a run failed",
            description="A run that failed or crashed is told of, and machines that it may have left are looked for.",
            trigger=_at_once({f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}),
            actions=[
                *notify("failed", "is {{ flow_run.state.name }}: {{ flow_run.state.message }}"),
                RunDeployment(source="selected", deployment_id=sweep),
            ],
        ),
        AutomationCore(
            name=f"{_PREFIX}a run vanished",
            description=f"A run that has not told for {silent} that it lives has crashed.",
            trigger=_missing(
                after={_ALIVE},
                expect={_ALIVE, LEFT, *_named(*_ENDS, *_RESTS)},
                within=timedelta(minutes=wanted.vanished_minutes),
            ),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=crashed)],
        ),
        AutomationCore(
            name=f"{_PREFIX}a run stands still",
            description=f"A run without a page, stage or download for {wanted.stalled_minutes:g} minutes is told of.",
            trigger=_missing(
                after={PROGRESS, *_named(*_BEGINS)},
                expect={PROGRESS, LEFT, *_named("Cancelling", *_ENDS, *_RESTS)},
                within=timedelta(minutes=wanted.stalled_minutes),
            ),
            actions=[
                *notify("stands still", f"has shown no progress for {wanted.stalled_minutes:g} minutes."),
                *cancel,
            ],
        ),
        AutomationCore(
            name=f"{_PREFIX}a budget is spent",
            description="A batch that has cost its max_usd, and begins no more pages, is told of.",
            trigger=_at_once({OVER_BUDGET}),
            actions=notify(
                "has spent its budget",
                "has cost USD {{ event.payload.usd }} of {{ event.payload.max_usd }} and begins no more pages.",
            ),
        ),
    ]
    return [_whole(each) for each in automations if each.actions]


async def apply(client: PrefectClient, automations: Sequence[AutomationCore]) -> list[tuple[str, Change]]:
    """Have Prefect hold these of Hearth's automations and no others; one that a person disabled stays so.

    Args:
        client: of Prefect's API.
        automations: as `defined`; none deletes all that Hearth made.

    Returns:
        What became of each, by its name.
    """
    changes: list[tuple[str, Change]] = []
    held = {each.name: each for each in await client.read_automations() if each.name.startswith(_PREFIX)}
    for wanted in automations:
        found = held.pop(wanted.name, None)
        if found is None:
            await client.create_automation(wanted)
            changes.append((wanted.name, Change.CREATED))
        elif _definition(found) == wanted:
            changes.append((wanted.name, Change.UNCHANGED))
        else:
            await client.update_automation(found.id, wanted.model_copy(update={"enabled": found.enabled}))
            changes.append((wanted.name, Change.UPDATED))
    for name, left in held.items():
        await client.delete_automation(left.id)
        changes.append((name, Change.DELETED))
    return changes


def _whole(automation: AutomationCore) -> AutomationCore:
    """With every field set but the owner: at an update what is unset is not sent, and an owner is refused."""
    return AutomationCore.model_validate(automation.model_dump(exclude={"id", "owner_resource"}))


def _definition(found: Automation) -> AutomationCore:
    """What was asked for when it was made."""
    return _whole(found.model_copy(update={"enabled": True}))


class _Notify:
    """Makes the action that tells somebody."""

    def __init__(self, block: UUID, *, webhook: bool) -> None:
        self._block = block
        self._webhook = webhook

    def __call__(self, subject: str, what: str) -> list[ActionTypes]:
        subject = f"{_PREFIX}a run {subject}"
        told = f"{{{{ flow.name }}}} {{{{ flow_run.name }}}} {what}"
        if self._webhook:
            body = f'{{"subject": "{subject}", "body": {{{{ told|tojson }}}}, "url": {{{{ flow_run|ui_url|tojson }}}}}}'
            return [CallWebhook(block_document_id=self._block, payload=f"{{% set told %}}{told}{{% endset %}}{body}")]
        return [
            SendNotification(block_document_id=self._block, subject=subject, body=f"{told}\n{{{{ flow_run|ui_url }}}}")
        ]


def _silent(_subject: str, _what: str) -> list[ActionTypes]:
    return []


async def _notify(client: PrefectClient, block: str) -> _Notify:
    kind, _, name = block.partition("/")
    try:
        document = await client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        raise InputError(
            f"Prefect has no block {block}. Make one in its UI under Blocks, and name it as type/name, "
            "such as slack-webhook/on-call."
        ) from None
    capabilities = document.block_schema.capabilities if document.block_schema is not None else []
    if "notify" not in capabilities and kind != "webhook":
        raise InputError(f"The block {block} cannot notify anybody. Name a notification block, or a webhook.")
    return _Notify(document.id, webhook=kind == "webhook")


def _named(*states: str) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _runs() -> dict[str, ResourceSpecification]:
    """The runs of Hearth's flows, and no others."""
    flow = {"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}
    return {
        "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        "match_related": ResourceSpecification(flow),
    }


def _at_once(expect: set[str]) -> EventTrigger:
    """Fires when something happens, and for each flow once a minute at most: a batch may fail many documents."""
    return EventTrigger(
        **_runs(),
        posture=Posture.Reactive,
        expect=expect,
        for_each={"related:flow:prefect.resource.id"},
        within=_ONCE,
    )


def _missing(after: set[str], expect: set[str], within: timedelta) -> EventTrigger:
    """Fires when nothing that is expected has happened to a run for so long."""
    return EventTrigger(
        **_runs(),
        posture=Posture.Proactive,
        after=after,
        expect=expect,
        for_each={"prefect.resource.id"},
        within=within,
    )
