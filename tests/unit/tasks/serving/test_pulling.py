"""Getting a model warm: pulling it where it is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.core.errors import ModelError, ServerError
from tasks.core.events import Pulling
from tasks.serving.warmup import warm
from tasks.settings.reading import WarmSettings
from tasks.slots.store import FileStore
from tests.support.clock import Clock
from tests.support.ollama.scripted import lines, says
from tests.support.ollama.wire import DIGEST, MODEL
from tests.support.waiting import PATIENCE
from tests.unit.tasks.serving.warming import LISTED, REQUEST, warmed


async def test_a_model_that_is_there_is_not_pulled(server, client):
    await warmed(client)
    assert server.asked("/api/pull") == []


async def test_a_missing_model_is_pulled_and_its_progress_told(server, client, told):
    server.answers("/api/tags", says(models=[]), LISTED)
    server.answers(
        "/api/pull",
        lines({"status": "pulling a1", "completed": 40, "total": 100}, {"status": "success"}),
    )
    assert (await warmed(client)).digest == DIGEST
    assert server.asked("/api/pull") == [{"model": MODEL, "stream": True}]
    assert [event for event in told if isinstance(event, Pulling)] == [
        Pulling("pulling a1", 40, 100),
        Pulling("success", 0, 0),
    ]


async def test_a_model_that_does_not_exist_says_to_check_its_name(server, client):
    server.answers("/api/tags", says(models=[]))
    late = lines({"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"})
    server.answers("/api/pull", late)
    with pytest.raises(ModelError, match=rf"'{MODEL}' cannot be pulled .*file does not exist.*Check its name"):
        await warmed(client)
    assert len(server.asked("/api/pull")) == 1


async def test_a_pull_that_breaks_off_goes_on(server, client):
    server.answers("/api/tags", says(models=[]), says(models=[]), LISTED)
    server.answers("/api/pull", lines({"error": "max retries exceeded: EOF"}), lines({"status": "success"}))
    assert (await warmed(client)).digest == DIGEST
    assert len(server.asked("/api/pull")) == 2


async def test_a_download_may_take_longer_than_the_deadline(server, client, monkeypatch):
    """As long as it goes on: given up, it would have to be paid for again."""
    server.answers("/api/tags", says(models=[]), LISTED)
    clock = Clock()
    for module in ("warmup", "waiting"):
        monkeypatch.setattr(f"tasks.serving.{module}.time", clock)

    async def slow(_body):
        clock.advance(2 * PATIENCE)
        return lines({"status": "success"})

    server.answers("/api/pull", slow)
    assert (await warmed(client, deadline=PATIENCE)).digest == DIGEST


async def test_a_download_that_never_ends_does(server, client):
    server.answers("/api/tags", says(models=[]))
    server.answers("/api/pull", replace(lines({"status": "success"}), after=10 * PATIENCE))
    limits = WarmSettings(deadline_seconds=PATIENCE, pull_seconds=0.5)
    with pytest.raises(ServerError, match="before the deadline"):
        await warm(client, REQUEST, 1, limits, ledger=FileStore.of(Path(), client.url), require_gpu=False)


async def test_a_pull_that_brings_nothing_says_to_pull_by_hand(server, client):
    server.answers("/api/tags", says(models=[]))
    with pytest.raises(ModelError, match=r"does not list it\. Pull it there by hand"):
        await warmed(client)


async def test_a_pull_that_fails_twice_alike_is_given_up_with_a_remedy(server, client):
    """Without a network each try fails with these words, under HTTP 200 and from another port."""
    why = 'pull model manifest: Get "https://r.ai/v2/": dial tcp: read udp 10.0.0.2:{}->9.9.9.9:53: i/o timeout'
    server.answers("/api/tags", says(models=[]))
    server.answers("/api/pull", lines({"error": why.format(4711)}), lines({"error": why.format(815)}))
    with pytest.raises(ModelError, match=r"cannot be pulled .*i/o timeout.*HTTPS_PROXY"):
        await warmed(client)
    assert len(server.asked("/api/pull")) == 2


async def test_a_download_that_gets_on_may_break_off_again_and_again(server, client):
    broken = {"error": "max retries exceeded: unexpected EOF"}
    steps = [{"status": "pulling a1", "digest": "sha256:a1", "completed": done, "total": 90} for done in (30, 60, 90)]
    server.answers("/api/tags", *[says(models=[])] * 3, LISTED)
    server.answers(
        "/api/pull", lines(steps[0], broken), lines(steps[1], broken), lines(steps[2], {"status": "success"})
    )
    assert (await warmed(client)).digest == DIGEST


async def test_the_embedded_server_is_named_if_it_cannot_run_the_model(server, client):
    server.answers("/api/version", says(version="0.33.0+embedded"))
    server.answers("/api/tags", says(models=[]))
    server.answers("/api/pull", lines({"error": "pull model manifest: file does not exist"}))
    with pytest.raises(ModelError, match=rf"The embedded.*{MODEL}.*--backend ollama"):
        await warmed(client)
