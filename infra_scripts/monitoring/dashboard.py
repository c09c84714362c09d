"""The monitoring stack: a dashboard, alarms and a topic; its values, its template and its cost."""

import re
from pathlib import Path

from infra_scripts.common.deployment import CostTable, PlanRow, StackPlan
from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import POOL, check_pool
from tasks.settings.metrics import MonitoringSettings

_TEMPLATE = Path(__file__).with_name("template.yaml")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
ALARM_METRICS = 10
"""Number of metrics of the alarms; the alarm on the account's charges adds one."""
_NOTES = (
    "Prices of us-east-1 (aws.amazon.com/cloudwatch/pricing). The account's first 3 dashboards and 10 alarm metrics "
    "are free. Each metric costs USD 0.30 a month, for the hours in which it is sent.",
    "Runs send metrics with HEARTH_METRICS__CLOUDWATCH=true, machines with HEARTH_EC2_STACK__METRICS=true, tasks with "
    "HEARTH_ECS_STACK__METRICS=true.",
)


class MonitoringStack(MonitoringSettings):
    """The settings of the monitoring stack."""

    pool: str
    region: str
    model: str
    usd_per_hour: float

    def model_post_init(self, _: object) -> None:
        """Refuse values that would not work before anything is created.

        Raises:
            RequestError: a value is not valid.
        """
        if not POOL.fullmatch(self.pool):
            raise RequestError(f"The pool name {self.pool!r} is not valid; it must match {POOL.pattern}.")
        if self.email and not _EMAIL.fullmatch(self.email):
            raise RequestError(f"{self.email!r} is not an e-mail address. Correct HEARTH_MONITORING__EMAIL.")

    @property
    def name(self) -> str:
        """Name of the stack."""
        return f"hearth-{self.pool}-monitoring"

    def parameters(self) -> dict[str, str]:
        """Return the values of the template's parameters.

        Raises:
            RequestError: the pool's name is not valid for a stack.
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
    """Return the CloudFormation template; only its parameters vary."""
    return _TEMPLATE.read_text()


def plan(stack: MonitoringStack) -> StackPlan:
    """Return the resources that `up` creates, and their cost."""
    billed = stack.monthly_usd is not None and stack.region == "us-east-1"
    metrics = ALARM_METRICS + billed
    rows = (
        PlanRow("dashboard", f"hearth-{stack.pool}-{stack.region}", "USD 3.00 a month"),
        PlanRow("alarms", f"{7 + billed} alarms on {metrics} metrics", f"USD {metrics / 10:.2f} a month"),
        PlanRow("topic", f"hearth-{stack.pool}-alarms, to {stack.email or 'nobody'}", "nothing, up to 1,000 e-mails"),
    )
    limits = (
        ("95th percentile of page times", f"{stack.page_seconds:g} s"),
        ("cost of machines", f"USD {stack.daily_usd:g} a day, at USD {stack.usd_per_hour:g} an hour"),
        ("charges of the account", f"USD {stack.monthly_usd:g} a month" if billed else "no alarm"),
    )
    return StackPlan(rows, CostTable(("alarm on", "limit"), limits), _NOTES)
