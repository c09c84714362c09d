"""The schedules of prefect.yaml, by the function of Prefect's own scheduler."""

from __future__ import annotations

from pathlib import Path

import yaml
from prefect.server.schemas.schedules import CronSchedule

DEPLOYMENTS = yaml.safe_load((Path(__file__).parents[3] / "prefect.yaml").read_text())["deployments"]


async def test_the_nightly_batch_has_dates_at_half_past_one_in_berlin():
    (nightly,) = (each for each in DEPLOYMENTS if each["name"] == "nightly")
    (schedule,) = nightly["schedules"]
    dates = await CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]).get_dates(3)
    assert [(date.hour, date.minute, date.tzname() in {"CET", "CEST"}) for date in dates] == [(1, 30, True)] * 3
