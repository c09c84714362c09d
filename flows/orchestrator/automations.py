"""Automations in Prefect: what happens by itself when a run fails, stalls, vanishes or costs too much.

If events arrive late, or Prefect's server was away, automations that wait for a missing event also fire while flows
run. Therefore none of them stops a machine: they notify, or run the sweep, which checks the leases.

They are not YAML for `prefect automation create --from-file`, which creates another of the same name at each call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

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

Notify = Callable[[str, str], list[ActionTypes]]
"""Returns the actions that notify of a run, by a subject and a sentence about the run."""


@dataclass(frozen=True)
class AutomationOptions:
    """The options of the automations.

    Attributes:
        notify: the notification block to use, as type/name, such as slack-webhook/on-call; None for no notifications.
        stalled_minutes: minutes without a page, a step or a download after which a run counts as stalled.
        vanished_minutes: minutes without a heartbeat after which a run counts as crashed. A run sends one every 3
            minutes (PREFECT_FLOWS_HEARTBEAT_FREQUENCY); by default two of them may be lost.
        cancel_stalled: whether a stalled run is also cancelled.
    """

    notify: str | None = None
    stalled_minutes: float = 20.0
    vanished_minutes: float = 10.0
    cancel_stalled: bool = False


class Change(StrEnum):
    """A change of an automation."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


async def define_automations(client: PrefectClient, options: AutomationOptions) -> list[AutomationCore]:
    """Return Hearth's automations, without those that would have no action.

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
            trigger=_reactive(_state_events("Failed", "Crashed", "TimedOut")),
            actions=[
                *notify("failed", "is {{ flow_run.state.name }}: {{ flow_run.state.message }}"),
                RunDeployment(source="selected", deployment_id=sweep),
            ],
        ),
        AutomationCore(
            name=f"{_PREFIX}a run vanished",
            description=f"Count a run as crashed that has sent no heartbeat for {silent}.",
            trigger=_proactive(
                after={_ALIVE},
                expect={_ALIVE, LEFT, *_state_events(*_ENDS, *_RESTS)},
                minutes=options.vanished_minutes,
            ),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=crashed)],
        ),
        AutomationCore(
            name=f"{_PREFIX}a run stands still",
            description=f"Notify of a run without a page, step or download for {options.stalled_minutes:g} minutes.",
            trigger=_proactive(
                after={PROGRESS, *_state_events(*_BEGINS)},
                expect={PROGRESS, LEFT, *_state_events("Cancelling", *_ENDS, *_RESTS)},
                minutes=options.stalled_minutes,
            ),
            actions=[
                *notify("stands still", f"has shown no progress for {options.stalled_minutes:g} minutes."),
                *cancel,
            ],
        ),
        AutomationCore(
            name=f"{_PREFIX}a budget is spent",
            description="Notify of a batch that has cost its max_usd, and begins no more pages.",
            trigger=_reactive({OVER_BUDGET}),
            actions=notify(
                "has spent its budget",
                "has cost USD {{ event.payload.usd }} of {{ event.payload.max_usd }} and begins no more pages.",
            ),
        ),
    ]
    return [_with_all_fields(automation) for automation in automations if automation.actions]


async def apply_automations(client: PrefectClient, automations: Sequence[AutomationCore]) -> list[tuple[str, Change]]:
    """Create, update and delete Hearth's automations until Prefect has these and no others, and return the changes.

    An automation that a person disabled stays disabled. Without `automations`, all of Hearth's are deleted.
    """
    changes: list[tuple[str, Change]] = []
    present = {known.name: known for known in await client.read_automations() if known.name.startswith(_PREFIX)}
    for automation in automations:
        existing = present.pop(automation.name, None)
        if existing is None:
            await client.create_automation(automation)
            changes.append((automation.name, Change.CREATED))
        elif _with_all_fields(existing.model_copy(update={"enabled": True})) == automation:
            changes.append((automation.name, Change.UNCHANGED))
        else:
            await client.update_automation(existing.id, automation.model_copy(update={"enabled": existing.enabled}))
            changes.append((automation.name, Change.UPDATED))
    for name, obsolete in present.items():
        await client.delete_automation(obsolete.id)
        changes.append((name, Change.DELETED))
    return changes


def _with_all_fields(automation: AutomationCore) -> AutomationCore:
    """Set every field but the owner: an update does not send fields that are not set, and rejects an owner."""
    return AutomationCore.model_validate(automation.model_dump(exclude={"id", "owner_resource"}))


async def _notifier(client: PrefectClient, block: str | None) -> Notify:
    """Return a function that returns the actions which notify through a block; without one, it returns none."""
    if block is None:
        return lambda _subject, _sentence: []
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

    def notify(subject: str, sentence: str) -> list[ActionTypes]:
        subject = f"{_PREFIX}a run {subject}"
        text = f"{{{{ flow.name }}}} {{{{ flow_run.name }}}} {sentence}"
        if kind == "webhook":
            body = f'{{"subject": "{subject}", "body": {{{{ text|tojson }}}}, "url": {{{{ flow_run|ui_url|tojson }}}}}}'
            return [CallWebhook(block_document_id=document.id, payload=f"{{% set text %}}{text}{{% endset %}}{body}")]
        body = f"{text}\n{{{{ flow_run|ui_url }}}}"
        return [SendNotification(block_document_id=document.id, subject=subject, body=body)]

    return notify


def _state_events(*states: str) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _reactive(expect: set[str]) -> EventTrigger:
    """Return a trigger that fires at an event, at most once a minute for each flow: many documents may fail at once."""
    return _trigger(Posture.Reactive, set(), expect, _ONCE, for_each="related:flow:prefect.resource.id")


def _proactive(after: set[str], expect: set[str], minutes: float) -> EventTrigger:
    """Return a trigger that fires when a run has had none of the expected events for some time."""
    return _trigger(Posture.Proactive, after, expect, timedelta(minutes=minutes), for_each="prefect.resource.id")


def _trigger(posture: Posture, after: set[str], expect: set[str], within: timedelta, *, for_each: str) -> EventTrigger:
    """Return a trigger for the runs of Hearth's flows."""
    flow = {"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}
    return EventTrigger(
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification(flow),
        posture=posture,
        after=after,
        expect=expect,
        for_each={for_each},
        within=within,
    )
