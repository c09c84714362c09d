"""Dashboard and alarms, as `hearth infra` deploys them: the settings, handed to infra_scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra_scripts.common.clients import explain_errors
from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.deployment import Options, StackPlan, StackRequest, StackStatus
from infra_scripts.common.instances import POOL_TAG
from infra_scripts.common.needs import Needs
from infra_scripts.monitoring.dashboard import MonitoringStack, plan, template
from tasks.costs.price_book import current_book
from tasks.costs.rates import on_demand_usd_per_hour

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener
    from tasks.settings.settings import Settings

_POLL_SECONDS = 3.0


@dataclass(frozen=True)
class MonitoringDeployment:
    """A pool's dashboard, alarms and topic."""

    stack: MonitoringStack
    supported_options: ClassVar[frozenset[str]] = frozenset()

    @property
    def name(self) -> str:
        """Of the stack."""
        return self.stack.name

    @property
    def teardown_summary(self) -> str:
        """All that `down` deletes."""
        return f"the dashboard and the alarms of the pool {self.stack.pool} in {self.stack.region}"

    def plan(self) -> StackPlan:
        """What `up` makes and what it costs."""
        return plan(self.stack)

    def template(self) -> str:
        """The CloudFormation template."""
        return template()

    def needs(self) -> Needs:
        """Nothing beside its template."""
        return Needs()

    def request_for(self, aws: Aws) -> StackRequest:
        """What `up` asks CloudFormation for."""
        del aws
        return StackRequest(template(), self.stack.parameters(), {"hearth:pool": self.stack.pool})

    def request(self) -> StackRequest:
        """What CloudFormation is asked for."""
        return StackRequest(template(), self.stack.parameters(), {POOL_TAG: self.stack.pool})

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack."""
        with explain_errors():
            stack = Stack(aws, self.name, listener, poll_seconds=_POLL_SECONDS)
            change = stack.deploy(self.request_for(aws))
            dashboard = stack.outputs()["Dashboard"]
        mail = f"AWS has written to {self.stack.email}: confirm it, or no alarm arrives." if self.stack.email else ""
        done = f"The stack {self.name} in {self.stack.region} is {change}."
        return tuple(filter(None, (done, f"Dashboard: {dashboard}", mail)))

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete the stack; nothing of it is ever in use."""
        del force
        with explain_errors():
            Stack(aws, self.name, listener, poll_seconds=_POLL_SECONDS).delete()
        return (f"The dashboard and the alarms of the pool {self.stack.pool} in {self.stack.region} are gone.",)

    def status(self, aws: Aws) -> StackStatus:
        """The stack, and where its dashboard is."""
        with explain_errors():
            stack = Stack(aws, self.name, lambda _: None)
            found, outputs = stack.describe(), stack.outputs()
        dashboard = (("dashboard", outputs["Dashboard"]),) if "Dashboard" in outputs else ()
        return StackStatus(found["StackStatus"] if found else None, dashboard)


def deployment(settings: Settings, options: Options, region: str) -> MonitoringDeployment:
    """That of the pool that the settings name."""
    del options
    watched = settings.monitoring
    known = on_demand_usd_per_hour(settings.ec2.types[0], region, current_book(settings.home))
    usd_per_hour = watched.usd_per_hour or known or 1.0
    return MonitoringDeployment(
        MonitoringStack(
            **watched.model_dump() | {"usd_per_hour": usd_per_hour},
            pool=settings.ec2.pool,
            region=region,
            model=settings.model or settings.ec2_stack.model,
        )
    )
