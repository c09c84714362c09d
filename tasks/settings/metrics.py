"""Settings of metrics, and of the dashboard and alarms that use them."""

from pathlib import Path

from pydantic import Field

from tasks.core.jobs import Frozen


class MetricsSettings(Frozen):
    """Where runs send their metrics."""

    cloudwatch: bool = Field(
        False,
        description="Whether to send metrics to CloudWatch, in the namespace Hearth. Each of about 25 costs USD 0.30 a "
        "month, charged for the hours in which it is sent; 1,000 requests, one a minute and run, cost USD 0.01.",
    )
    textfile: Path | None = Field(
        None, description="File for node_exporter's textfile collector, ending in .prom; not written if unset."
    )
    otlp: str | None = Field(
        None,
        pattern=r"^https?://",
        description="OTLP receiver over HTTP, such as http://collector:4318; it requires `hearth-pages[otel]`.",
    )
    flush_seconds: float = Field(60, ge=1, le=3600, description="Interval of sending metrics, seconds.")


class MonitoringSettings(Frozen):
    """The stack that `hearth infra up monitoring` deploys."""

    email: str = Field("", description="E-mail address for alarms; AWS asks it for a confirmation.")
    page_seconds: float = Field(10, ge=1, description="Alarm threshold of the 95th percentile of page times, seconds.")
    usd_per_hour: float | None = Field(
        None, gt=0, description="Price of a machine, USD per hour; the first instance type's if unset."
    )
    daily_usd: float = Field(25, ge=1, description="Alarm threshold of the machines' daily cost, USD.")
    monthly_usd: float | None = Field(
        None,
        gt=0,
        description="Alarm threshold of the account's monthly charges for all services, USD. It requires the region "
        "us-east-1 and AWS's billing alerts; no alarm if unset.",
    )
