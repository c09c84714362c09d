"""Settings of metrics, and of what watches them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tasks.core.jobs import Frozen


class MetricsSettings(Frozen):
    """Where runs tell their numbers."""

    cloudwatch: bool = Field(
        False,
        description="Send metrics to CloudWatch, in the namespace Hearth. USD 0.30 a month for each of about 25, "
        "for the hours in which they are sent, and USD 0.01 for 1,000 requests, one a minute and run.",
    )
    textfile: Path | None = Field(
        None,
        description="File, ending in .prom, for node_exporter's textfile collector; nothing is written if unset.",
    )
    otlp: str | None = Field(
        None,
        pattern=r"^https?://",
        description="OTLP receiver over HTTP, such as http://collector:4318; nothing is sent if unset. "
        "Wants `hearth-pages[otel]`.",
    )
    flush_seconds: float = Field(60, ge=1, le=3600, description="How often metrics are sent, seconds; and at the end.")


class MonitoringSettings(Frozen):
    """What `hearth infra up monitoring` deploys."""

    email: str = Field("", description="Who is written to when an alarm goes off; AWS asks for a confirmation.")
    page_seconds: float = Field(10, ge=1, description="95 in 100 pages should take no longer, seconds.")
    usd_per_hour: float | None = Field(
        None, gt=0, description="What a machine costs, USD per hour; that of the first instance type if unset."
    )
    daily_usd: float = Field(25, ge=1, description="Machines should cost no more a day, USD.")
    monthly_usd: float | None = Field(
        None,
        gt=0,
        description="The account should be charged no more a month, USD, all services; needs the region us-east-1 and "
        "AWS's billing alerts. Not watched if unset.",
    )
