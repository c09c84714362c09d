"""The stack that watches: a dashboard, alarms and a topic; its values, its template, what it makes and costs."""

from __future__ import annotations

import re
from pathlib import Path

from infra_scripts.common.deployment import CostTable, PlanRow, StackPlan
from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import POOL, check_pool
from tasks.settings.metrics import MonitoringSettings

_TEMPLATE = Path(__file__).with_name("template.yaml")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
ALARM_METRICS = 10
"""What the alarms look at; with the account's charges it is one more."""
_NOTES = (
    "Prices of us-east-1 (aws.amazon.com/cloudwatch/pricing); the account's first 3 dashboards and 10 alarm metrics "
    "are free. Metrics themselves cost when they are sent: USD 0.30 a month each, by the hour.",
    "Runs send theirs with HEARTH_METRICS__CLOUDWATCH=true, machines with HEARTH_EC2_STACK__METRICS=true, tasks with "
    "HEARTH_ECS_STACK__METRICS=true.",
)


class MonitoringStack(MonitoringSettings):
    """The settings of the stack that watches, and what it watches.

    Attributes:
        model: that is watched.
        usd_per_hour: of a machine.
    """

    pool: str
    region: str
    model: str
    usd_per_hour: float

    def model_post_init(self, _: object) -> None:
        """Refuse what would not work before anything is made.

        Raises:
            RequestError: a value is not what it should be.
        """
        if not POOL.fullmatch(self.pool):
            raise RequestError(f"The pool cannot be called {self.pool!r}; it must match {POOL.pattern}.")
        if self.email and not _EMAIL.fullmatch(self.email):
            raise RequestError(f"{self.email!r} is no e-mail address. Set HEARTH_MONITORING__EMAIL to one.")

    @property
    def name(self) -> str:
        """Of the stack."""
        return f"hearth-{self.pool}-monitoring"

    def parameters(self) -> dict[str, str]:
        """The values of the template's parameters.

        Raises:
            RequestError: no stack can be called after the pool.
        """
        check_pool(self.pool)
        return {
            "Pool": self.pool,
            "Model": self.model,
            "Email": self.email,
            "PageSeconds": f"{self.page_seconds:g}",
            "UsdPerHour": f"{self.usd_per_hour:g}",
            "DailyUsd": f"{self.daily_usd:g}",
            "MonthlyUsd": f"{self.monthly_usd or 0:g}",
        }


def template() -> str:
    """The CloudFormation template; all that varies are its parameters."""
    return _TEMPLATE.read_text()


def plan(stack: MonitoringStack) -> StackPlan:
    """What `up` makes and what it costs."""
    billed = stack.monthly_usd is not None and stack.region == "us-east-1"
    metrics = ALARM_METRICS + billed
    rows = (
        PlanRow("dashboard", f"hearth-{stack.pool}-{stack.region}", "USD 3.00 a month"),
        PlanRow("alarms", f"{7 + billed}, which look at {metrics} metrics", f"USD {metrics / 10:.2f} a month"),
        PlanRow("topic", f"hearth-{stack.pool}-alarms, to {stack.email or 'nobody'}", "nothing, up to 1,000 e-mails"),
    )
    limits = (
        ("a page", f"{stack.page_seconds:g} s, 95 in 100"),
        ("machines", f"USD {stack.daily_usd:g} a day, at USD {stack.usd_per_hour:g} an hour"),
        ("the account", f"USD {stack.monthly_usd:g} a month" if billed else "not watched"),
    )
    return StackPlan(rows, CostTable(("what is watched", "limit"), limits), _NOTES)
