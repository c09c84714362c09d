"""Expired runs of the HTTP API are deleted completely, and only if nobody needs anything of them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from flows.api.accepted import Request
from flows.api.records import Record
from flows.api.retention import expired_runs
from flows.api.webhooks import Pending
from tasks.core.file_locks import take_exclusive
from tasks.core.jobs import Document, Job
from tasks.retention.expired import DAY_SECONDS, Kind, Tally, sweep
from tasks.settings.retention import RetentionSettings

KEPT = RetentionSettings(api_days=30)


class Api:
    """An API_DIRECTORY."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("documents", "results", "runs", "webhooks", "queue"):
            (directory / name).mkdir()

    def run(self, days: float, sha256: str = "a" * 64, request: str = "one") -> UUID:
        """A run that ended so many days ago."""
        output = self.directory / "results" / request / f"paper-{sha256[:12]}"
        record = Record(id=uuid4(), sha256=sha256, pages="1", output=output, created=datetime.now(UTC))
        self._write(self.directory / "documents" / f"{sha256}.pdf", "%PDF", days)
        self._write(output / "manifest.json", "{}", days)
        self._write(output / "document.md", "Text.", days)
        self._write(self.directory / "runs" / f"{record.id}.json", record.model_dump_json(), days)
        return record.id

    def queued(self, days: float, sha256: str = "a" * 64) -> Request:
        """A request that has waited for so many days."""
        path = self.directory / "documents" / f"{sha256}.pdf"
        document = Document(path=path, sha256=sha256, pages=1, size=4)
        job = Job(document=str(path), output=str(self.directory / "results" / "one"))
        at = datetime.now(UTC)
        request = Request(id=uuid4(), job=job, key="one", document=document, pages="1", created=at)
        self._write(path, "%PDF", days)
        self._write(self.directory / "queue" / f"{request.id}.json", request.model_dump_json(exclude_none=True), days)
        self._write(self.directory / "runs" / f"{request.id}.json", request.record().model_dump_json(), days)
        return request

    def results(self, request: str = "one") -> Path:
        (found,) = (self.directory / "results" / request).iterdir()
        return found

    def clean(self, retention: RetentionSettings = KEPT, *, dry_run: bool = False) -> list[Tally]:
        return sweep(expired_runs(self.directory, retention, time.time()), dry_run=dry_run)

    def left(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.directory / name).iterdir())

    @staticmethod
    def _write(path: Path, text: str, days: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        at = time.time() - days * DAY_SECONDS
        os.utime(path, (at, at))


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path)


def test_by_default_everything_is_kept_for_ever(api: Api):
    api.run(1000)
    assert api.clean(RetentionSettings()) == []


def test_an_expired_run_is_deleted_with_its_results_and_its_document(api: Api):
    api.run(40)
    young = api.run(20, "b" * 64, "two")
    (tally,) = api.clean(dry_run=True)
    assert (tally.kind, tally.count) == (Kind.API, 1)
    assert api.clean() == [tally]
    assert api.left("runs") == [f"{young}.json"]
    assert (api.left("documents"), api.left("results")) == ([f"{'b' * 64}.pdf"], ["two"])


def test_a_run_with_a_pending_webhook_is_kept(api: Api):
    pending = Pending(run=api.run(40), url="https://example.com/hook")
    (api.directory / "webhooks" / f"{pending.id}.json").write_text(pending.model_dump_json())
    assert api.clean() == []


def test_results_and_documents_shared_with_a_younger_run_are_kept(api: Api):
    api.run(40, request="one")
    young = api.run(20, request="two")
    os.utime(api.directory / "documents" / f"{'a' * 64}.pdf", (0, 0))
    assert [tally.count for tally in api.clean()] == [1]
    assert api.left("runs") == [f"{young}.json"]
    assert (len(api.left("documents")), api.left("results")) == (1, ["two"])


def test_the_document_of_two_expired_runs_is_deleted_with_the_last(api: Api):
    api.run(40, request="one")
    api.run(50, request="two")
    os.utime(api.directory / "documents" / f"{'a' * 64}.pdf", (0, 0))
    assert [tally.count for tally in api.clean()] == [2]
    assert [api.left(name) for name in ("runs", "documents", "results")] == [[], [], []]


def test_a_document_that_was_posted_again_recently_is_kept(api: Api):
    api.run(40)
    (api.directory / "documents" / f"{'a' * 64}.pdf").touch()
    api.clean()
    assert len(api.left("documents")) == 1


def test_an_active_run_is_kept(api: Api):
    api.run(40)
    turn = take_exclusive(api.results() / ".lock")
    assert api.clean() == []
    turn.release()
    assert [tally.count for tally in api.clean()] == [1]


def test_a_queued_request_is_kept_with_its_document_however_long_it_waits(api: Api):
    waiting = api.queued(40)
    api.run(40, request="two")
    os.utime(api.directory / "documents" / f"{'a' * 64}.pdf", (0, 0))
    assert [tally.count for tally in api.clean()] == [1]
    assert (api.left("runs"), api.left("queue")) == ([f"{waiting.id}.json"], [f"{waiting.id}.json"])
    assert len(api.left("documents")) == 1


def test_a_request_cancelled_in_the_queue_expires(api: Api):
    waiting = api.queued(40)
    os.utime(api.directory / "documents" / f"{'a' * 64}.pdf", (0, 0))
    (api.directory / "queue" / f"{waiting.id}.json").unlink()
    assert [tally.count for tally in api.clean()] == [1]
    assert (api.left("runs"), api.left("documents")) == ([], [])


def test_a_document_is_deleted_under_each_of_its_names(api: Api):
    api.run(40)
    named = api.directory / "documents" / ("a" * 64) / "paper.pdf"
    named.parent.mkdir()
    named.hardlink_to(api.directory / "documents" / f"{'a' * 64}.pdf")
    api.clean()
    assert api.left("documents") == []
