"""AWS's clients with scripted answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.tasks.backends.ec2.stubbed import Stubbed


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubbed]:
    """Every answer that is scripted must have been asked for."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHEARTHHEARTHTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    stubbed = Stubbed()
    yield stubbed
    for stub in stubbed.stubs.values():
        stub.assert_no_pending_responses()
