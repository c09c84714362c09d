"""The Lambda function on a real Prefect server creates the runs that `flows.orchestrator.trigger` finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.process_document import process_document
from infra_scripts.trigger.handler import arrivals, generation_key, handler, run_key
from tests.support.commands import PrefectServer
from tests.support.infra.trigger_events import Call, bridged, queued
from tests.support.waiting import until

OUTPUT = "s3://inbox/results"
UPLOADS = DeploymentFilter(name=DeploymentFilterName(any_=["uploads"]))


@pytest.fixture
def api(prefect: PrefectServer) -> Iterator[str]:
    with temporary_settings({PREFECT_API_URL: prefect.api}):
        with get_client(sync_client=True) as client:
            flow = client.create_flow_from_name("process-document")
            client.create_deployment(flow_id=flow, name="uploads", entrypoint="flows.process_document.process_document")
        yield prefect.api


@pytest.fixture
def variables(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", api)
    monkeypatch.setenv("HEARTH_BUCKET", "inbox")
    monkeypatch.setenv("HEARTH_OUTPUT", OUTPUT)
    monkeypatch.setenv("HEARTH_DEPLOYMENT", "process-document/uploads")


def test_an_upload_becomes_one_run_however_often_its_event_arrives(variables: None):
    event = queued(bridged("a b.pdf"), bridged("a b.pdf"))
    for each in (event, event, queued(bridged("a b.pdf", "v2"))):
        # A message comes again while Prefect is busy.
        until(lambda event=each: handler(event, Call()) == {"batchItemFailures": []})
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(deployment_filter=UPLOADS)
    (found,) = arrivals(bridged("a b.pdf"))
    first = generation_key(run_key(found.content, {"output": OUTPUT}), 0)
    assert len(runs) == 2
    assert first in {run.idempotency_key for run in runs}
    assert {run.state.name for run in runs if run.state} == {"Scheduled"}
    for run in runs:
        assert process_document.validate_parameters(run.parameters)["job"].document == "s3://inbox/a b.pdf"
