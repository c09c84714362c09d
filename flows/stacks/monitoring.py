"""Deploy a pool's dashboard and alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.stacks.base import Deployment
from infra_scripts.common.clients import explain_errors
from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.deployment import StackPlan, StackRequest, StackStatus
from infra_scripts.common.instances import POOL_TAG
from infra_scripts.common.needs import Needs
from infra_scripts.monitoring.dashboard import MonitoringStack, plan, template
from tasks.costs.rates import on_demand_usd_per_hour

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener

POLL_SECONDS = 3.0


class MonitoringDeployment(Deployment):
    """A pool's dashboard, alarms and SNS topic."""

    @property
    def stack(self) -> MonitoringStack:
        """The stack of the pool that the settings name."""
        monitoring = self.settings.monitoring
        known = on_demand_usd_per_hour(self.settings.ec2.types[0], self.region, self.book)
        return MonitoringStack(
            **monitoring.model_dump() | {"usd_per_hour": monitoring.usd_per_hour or known or 1.0},
            pool=self.pool,
            region=self.region,
            model=self.settings.model or self.settings.ec2_stack.model,
        )

    @property
    def name(self) -> str:
        """The name of the CloudFormation stack."""
        return self.stack.name

    @property
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for a question to the user."""
        return f"the dashboard and the alarms of the pool {self.pool} in {self.region}"

    def plan(self) -> StackPlan:
        """Return what `up` makes, and its cost."""
        return plan(self.stack)

    def template(self) -> str:
        """Return the CloudFormation template, which depends on no setting."""
        return template()

    def needs(self) -> Needs:
        """Return nothing: it needs no more than the resources of its template."""
        return Needs()

    def request(self, aws: Aws | None = None) -> StackRequest:
        """Return the request to CloudFormation; no part of it comes from AWS."""
        del aws
        return StackRequest(template(), self.stack.parameters(), {POOL_TAG: self.pool})

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack."""
        with explain_errors():
            stack = Stack(aws, self.name, listener, poll_seconds=POLL_SECONDS)
            change = stack.deploy(self.request())
            dashboard = stack.outputs()["Dashboard"]
        email = self.settings.monitoring.email
        mail = f"AWS sent an e-mail to {email}: confirm it, or no alarm arrives." if email else ""
        done = f"The stack {self.name} in {self.region} is {change}."
        return tuple(filter(None, (done, f"Dashboard: {dashboard}", mail)))

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete the stack, which no run ever uses."""
        del force
        with explain_errors():
            Stack(aws, self.name, listener, poll_seconds=POLL_SECONDS).delete()
        return (f"The dashboard and the alarms of the pool {self.pool} in {self.region} are gone.",)

    def status(self, aws: Aws) -> StackStatus:
        """Return the status of the stack, and the address of its dashboard."""
        state, outputs = self.describe(aws)
        return StackStatus(state, (("dashboard", outputs["Dashboard"]),) if "Dashboard" in outputs else ())


deployment = MonitoringDeployment
