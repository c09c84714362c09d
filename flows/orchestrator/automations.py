"""Automations in Prefect: what happens by itself when a run fails, stalls, vanishes or costs too much.

Prefect also fires those that wait for a missing event while flows run, if events come late or its server was away.
Therefore none of them stops a machine: they notify, or run the sweep, which checks the leases.

They are not YAML for `prefect automation create --from-file`: that creates another of the same name at each call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
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
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
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
class AutomationOptions:
    """The options of the automations.

    Attributes:
        notify: the notification block to use, as type/name, such as slack-webhook/on-call; None for no notifications.
        stalled_minutes: how long a run may go on without a page, a step or a download.
        vanished_minutes: how long a run may be silent before it counts as crashed. A run sends a heartbeat every 3
            minutes (PREFECT_FLOWS_HEARTBEAT_FREQUENCY); by default two of them may be lost.
        cancel_stalled: whether a stalled run is also cancelled.
    """

    notify: str | None = None
    stalled_minutes: float = 20.0
    vanished_minutes: float = 10.0
    cancel_stalled: bool = False


class Change(StrEnum):
    """What was done with an automation."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


async def define_automations(client: PrefectClient, options: AutomationOptions) -> list[AutomationCore]:
    """Return the automations as they should be, without those that would have no action.

    Raises:
        InputError: there is no such notification block.
        UnavailableError: the sweep is not deployed.
    """
    notify = await _notifier(client, options.notify)
    try:
        sweep = (await client.read_deployment_by_name(SWEEP)).id
    except ObjectNotFound:
        raise UnavailableError(
            f"Prefect has no deployment {SWEEP}. Create it with hearth up, or prefect --no-prompt deploy --all."
        ) from None
    cancel: list[ActionTypes] = [CancelFlowRun()] if options.cancel_stalled else []
    silent = f"{options.vanished_minutes:g} minutes"
    crashed = f"Its process is gone: it has sent no heartbeat for {silent}."
    automations = [
        AutomationCore(
            name=f"{_PREFIX}a run failed",
            description="Notify of a run that failed or crashed, and sweep machines that it may have left.",
            trigger=_at_once({f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}),
            actions=[
                *notify("failed", "is {{ flow_run.state.name }}: {{ flow_run.state.message }}"),
                RunDeployment(source="selected", deployment_id=sweep),
            ],
        ),
        AutomationCore(
            name=f"{_PREFIX}a run vanished",
            description=f"Count a run as crashed that has sent no heartbeat for {silent}.",
            trigger=_missing(
                after={_ALIVE},
                expect={_ALIVE, LEFT, *_named(*_ENDS, *_RESTS)},
                within=timedelta(minutes=options.vanished_minutes),
            ),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=crashed)],
        ),
        AutomationCore(
            name=f"{_PREFIX}a run stands still",
            description=f"Notify of a run without a page, step or download for {options.stalled_minutes:g} minutes.",
            trigger=_missing(
                after={PROGRESS, *_named(*_BEGINS)},
                expect={PROGRESS, LEFT, *_named("Cancelling", *_ENDS, *_RESTS)},
                within=timedelta(minutes=options.stalled_minutes),
            ),
            actions=[
                *notify("stands still", f"has shown no progress for {options.stalled_minutes:g} minutes."),
                *cancel,
            ],
        ),
        AutomationCore(
            name=f"{_PREFIX}a budget is spent",
            description="Notify of a batch that has cost its max_usd, and begins no more pages.",
            trigger=_at_once({OVER_BUDGET}),
            actions=notify(
                "has spent its budget",
                "has cost USD {{ event.payload.usd }} of {{ event.payload.max_usd }} and begins no more pages.",
            ),
        ),
    ]
    return [_complete(each) for each in automations if each.actions]


async def apply_automations(client: PrefectClient, automations: Sequence[AutomationCore]) -> list[tuple[str, Change]]:
    """Create, update and delete Hearth's automations until Prefect has these and no others, and return the changes.

    An automation that a person disabled stays disabled.

    Args:
        client: Prefect's API.
        automations: as `define_automations`; none deletes all that Hearth made.
    """
    changes: list[tuple[str, Change]] = []
    held = {each.name: each for each in await client.read_automations() if each.name.startswith(_PREFIX)}
    for automation in automations:
        existing = held.pop(automation.name, None)
        if existing is None:
            await client.create_automation(automation)
            changes.append((automation.name, Change.CREATED))
        elif _complete(existing.model_copy(update={"enabled": True})) == automation:
            changes.append((automation.name, Change.UNCHANGED))
        else:
            await client.update_automation(existing.id, automation.model_copy(update={"enabled": existing.enabled}))
            changes.append((automation.name, Change.UPDATED))
    for name, obsolete in held.items():
        await client.delete_automation(obsolete.id)
        changes.append((name, Change.DELETED))
    return changes


def _complete(automation: AutomationCore) -> AutomationCore:
    """Return it with every field set but the owner: an update does not send unset fields, and refuses an owner."""
    return AutomationCore.model_validate(automation.model_dump(exclude={"id", "owner_resource"}))


def _actions(block: UUID, webhook: bool, subject: str, what: str) -> list[ActionTypes]:  # noqa: FBT001 - by a partial
    """Return the action that notifies through a block."""
    subject = f"{_PREFIX}a run {subject}"
    text = f"{{{{ flow.name }}}} {{{{ flow_run.name }}}} {what}"
    if webhook:
        body = f'{{"subject": "{subject}", "body": {{{{ text|tojson }}}}, "url": {{{{ flow_run|ui_url|tojson }}}}}}'
        return [CallWebhook(block_document_id=block, payload=f"{{% set text %}}{text}{{% endset %}}{body}")]
    return [SendNotification(block_document_id=block, subject=subject, body=f"{text}\n{{{{ flow_run|ui_url }}}}")]


async def _notifier(client: PrefectClient, block: str | None) -> Callable[[str, str], list[ActionTypes]]:
    """Return a function of a subject and a sentence that returns the actions which notify; none without a block."""
    if block is None:
        return lambda _subject, _what: []
    kind, _, name = block.partition("/")
    try:
        document = await client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        raise InputError(
            f"Prefect has no block {block}. Create one in its UI under Blocks, and name it as type/name, "
            "such as slack-webhook/on-call."
        ) from None
    capabilities = document.block_schema.capabilities if document.block_schema is not None else []
    if "notify" not in capabilities and kind != "webhook":
        raise InputError(f"The block {block} cannot notify. Name a notification block, or a webhook.")
    return partial(_actions, document.id, kind == "webhook")


def _named(*states: str) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _runs() -> dict[str, ResourceSpecification]:
    """Return the part of a trigger that selects the runs of Hearth's flows."""
    flow = {"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}
    return {
        "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        "match_related": ResourceSpecification(flow),
    }


def _at_once(expect: set[str]) -> EventTrigger:
    """Return a trigger that fires at an event, at most once a minute for each flow: many documents may fail at once."""
    return EventTrigger(
        **_runs(),
        posture=Posture.Reactive,
        expect=expect,
        for_each={"related:flow:prefect.resource.id"},
        within=_ONCE,
    )


def _missing(after: set[str], expect: set[str], within: timedelta) -> EventTrigger:
    """Return a trigger that fires when a run has had none of the expected events for some time."""
    return EventTrigger(
        **_runs(),
        posture=Posture.Proactive,
        after=after,
        expect=expect,
        for_each={"prefect.resource.id"},
        within=within,
    )
