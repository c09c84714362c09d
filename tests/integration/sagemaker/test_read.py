"""`hearth read --backend sagemaker`, end to end: SIMULATED endpoints, moto's control plane, the real container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import pdfs
from tests.support.aws.buckets import keys
from tests.support.aws.container import MODEL, Container, container
from tests.support.aws.endpoints import make_endpoint
from tests.support.aws.faults import Fault, error
from tests.support.aws.front import AwsFront
from tests.support.aws.reading import Reading, complete, paper
from tests.support.aws.sagemaker import Endpoint
from tests.support.aws.sagemaker_answers import model_error
from tests.support.commands import Hearth
from tests.support.waiting import until

WORDS = ("The harbour is quiet in the morning.", "Winter brings fewer ships.")


@pytest.fixture
def hearth_there(hearth: Hearth, aws: AwsFront) -> Hearth:
    """The command, on SageMaker, with quick polls."""
    settings = {
        "HEARTH_BACKEND": "sagemaker",
        "HEARTH_MODEL": MODEL,
        "HEARTH_SAGEMAKER__POLL_SECONDS": "0.2",
        "HEARTH_SAGEMAKER__FOLLOW_SECONDS": "0.3",
        "HEARTH_SAGEMAKER__START_SECONDS": "36000",
        "HEARTH_SAGEMAKER_STACK__SLOTS": "2",
        "HEARTH_SAGEMAKER_STACK__MAX_COPIES": "2",
        "HEARTH_READ__RETRY_SECONDS": "3",
    }
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container that really reads."""
    with container(tmp_path_factory.mktemp("reader")) as started:
        yield started


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container whose pages take 0.2 s, four at once: the slots of two copies."""
    with container(tmp_path_factory.mktemp("echo"), engine="echo", seconds=0.2, slots=4) as started:
        yield started


@pytest.mark.parametrize(
    "queued",
    [
        pytest.param(False, id="real time"),
        pytest.param(True, id="queued", marks=pytest.mark.long("the same by a queue: 11 s")),
    ],
)
def test_a_pdf_is_read_through_the_endpoint(
    hearth_there: Hearth, aws: AwsFront, reader: Container, tmp_path: Path, queued: bool
):
    make_endpoint(aws, reader, queued=queued)
    outcome = hearth_there.read(pdfs.written(tmp_path / "letter.pdf", *WORDS))
    assert outcome.code == 0, outcome.err
    assert outcome.document == f"<!-- page 1 -->\n\n{WORDS[0]}\n\n<!-- page 2 -->\n\n{WORDS[1]}\n\n"
    (record,) = outcome.manifest["machines"]
    assert record["kind"] == f"1 x ml.g4dn.xlarge, SageMaker {'async' if queued else 'real time'}"
    assert record["usd"] > 0
    assert outcome.manifest["cost_usd"] == record["usd"]
    if queued:
        assert keys(aws.behind("s3")) == set()


@pytest.mark.long("reads a document; test_sagemaker_backend has the steps")
def test_an_endpoint_without_instances_is_started_by_the_first_request(
    hearth_there: Hearth, aws: AwsFront, echo: Container, tmp_path: Path
):
    endpoint = make_endpoint(aws, echo, copies=0)
    reading = Reading(hearth_there, paper(tmp_path, 2))
    until(lambda: endpoint.refused > 1)
    endpoint.copies = 1  # as AWS's alarm and step policy do
    complete(reading.ended(), 2)


def _out_of_memory() -> Fault:
    async def fail(*_: Any) -> Any:
        return model_error(500, '{"error": "llama runner process has terminated: out of memory"}')

    return Fault("ModelError", fail)


@pytest.mark.long("reads a document; test_sagemaker_backend has the steps")
def test_transient_refusals_lose_no_page(hearth_there: Hearth, aws: AwsFront, echo: Container, tmp_path: Path):
    make_endpoint(aws, echo)
    for skip, fault in (
        (12, error("ThrottlingException", "Rate exceeded", 429)),
        (16, error("ServiceUnavailable", "Unavailable.", 503)),
        (20, _out_of_memory()),
        (24, error("ModelNotReadyException", "Loading.", 429)),
    ):
        aws.inject(fault, "InvokeEndpoint*", skip=skip)
    outcome = hearth_there.read(paper(tmp_path, 24))
    complete(outcome, 24)
    reasons = [attempt["reason"] for n in range(1, 25) for attempt in outcome.page(n)["attempts"] if attempt["reason"]]
    assert reasons == ["unavailable"] * 4


@pytest.mark.long("reads a document; test_sagemaker_backend has the steps")
def test_an_endpoint_deleted_during_a_run_ends_it_and_stored_pages_are_kept(
    hearth_there: Hearth, aws: AwsFront, echo: Container, tmp_path: Path
):
    make_endpoint(aws, echo)
    before = sum(echo.read.values())
    reading = Reading(hearth_there, paper(tmp_path, 40))
    until(lambda: sum(echo.read.values()) > before + 16)
    aws.sagemaker.endpoints.clear()
    aws.behind("sagemaker").delete_endpoint(EndpointName="hearth-default")
    outcome = reading.ended()
    assert outcome.code == 1
    assert "There is no SageMaker endpoint" in outcome.json["error"]
    assert 4 <= len(list(hearth_there.directory.glob("results/*/pages/*.json"))) < 40


@pytest.mark.long("reads a document; test_sagemaker_backend has the steps")
def test_a_run_uses_copies_that_are_added_meanwhile(
    hearth_there: Hearth, aws: AwsFront, echo: Container, tmp_path: Path
):
    endpoint: Endpoint = make_endpoint(aws, echo)
    before = sum(echo.read.values())
    reading = Reading(hearth_there, paper(tmp_path, 60))
    until(lambda: sum(echo.read.values()) > before + 12)
    endpoint.copies = 2
    outcome = reading.ended()
    complete(outcome, 60)
    assert [record["kind"].partition(",")[0] for record in outcome.manifest["machines"]] == [
        "1 x ml.g4dn.xlarge",
        "2 x ml.g4dn.xlarge",
    ]
    assert "has 2 copies of the model now, not 1" in " ".join(outcome.err.split())
