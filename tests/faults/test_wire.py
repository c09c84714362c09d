"""Faults between Hearth and Ollama lose no page: each is stored once, with its own text and its attempts."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Stage, Staged
from tests.faults.marks import Page
from tests.faults.wire_faults import HARMLESS, Fault, Kind, listed, nth

KINDS = [kind for kind in Kind if kind is not Kind.ANSWERED_TWICE]
SECONDS = {Kind.REFUSED: 0.5, Kind.HANG: 3600, Kind.DRIP: 1.0, Kind.LATENCY: 1.0}


def test_a_failed_request_is_retried_without_losing_the_page_and_recorded(staged: Staged):
    """The first request of each page but the last meets a different fault."""
    page = {kind: Page(1, number) for number, kind in enumerate(KINDS, 1)}
    untouched = len(KINDS) + 1
    stage = staged(listed({at: [Fault(kind, SECONDS.get(kind, 0.0))] for kind, at in page.items()}))
    outcome = stage.read(1, untouched)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(1, untouched) == []
    assert {kind: wrong for kind in KINDS if (wrong := _wrong(stage, page[kind], kind))} == {}
    assert len(stage.proxy.asked(Page(1, untouched))) == 1
    assert stage.proxy.pages_at_once <= 2


def _wrong(stage: Stage, page: Page, kind: Kind) -> list[str]:
    """What is wrong with how a page came through its fault."""
    first, *others = calls = stage.proxy.asked(page)
    *failed, good = stage.attempts(page.document, page.number)
    rules = {
        "the fault happened": first.fault is not None and first.fault.kind is kind,
        "it is asked for again if the answer was no good": bool(others) == (kind not in HARMLESS),
        # Faults that a page beside it met are its own, too: refused connections are refused to all.
        "it is asked for again only after a fault": all(
            call.fault is not None or call.status is None or call.left for call in calls[:-1]
        ),
        "the last answer is the right one": calls[-1].status == 200 and good["reason"] is None,
        # Connections that were refused have not come to the proxy.
        "the manifest has each request": len(failed) >= len(calls) - 1,
        "the manifest explains why it was asked for again": all(each["reason"] and each["detail"] for each in failed),
    }
    return [rule for rule, kept in rules.items() if not kept and (kind not in HARMLESS or "manifest" not in rule)]


@pytest.mark.long("another run of the command: 6 s")
def test_a_repeated_answer_is_not_taken_for_that_of_the_next_page(staged: Staged):
    """It arrives at once, in the client's buffer, or later, while the client waits for the next page's answer."""
    twice = {Page(2, number): [Fault(Kind.ANSWERED_TWICE, seconds)] for number, seconds in [(1, 0), (4, 0.05), (5, 0)]}
    stage = staged(listed(twice))
    outcome = stage.read(2, 7)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(2, 7) == []


@pytest.mark.long("another run of the command: 8 s")
def test_faults_during_the_warm_up_lose_no_page(staged: Staged):
    faults = [Fault(Kind.RESET_BODY), Fault(Kind.EMPTY), Fault(Kind.WRONG_SHAPE)]
    paths = ["/api/version", "/api/tags", "/api/show", "/api/ps", "/api/generate"]
    plans = [nth(path, dict(enumerate(faults, 1))) for path in paths]
    stage = staged(lambda call: next(filter(None, (plan(call) for plan in plans)), None))
    outcome = stage.read(3, 2)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(3, 2) == []
    assert sum(call.fault is not None for call in stage.proxy.calls) == len(faults) * len(paths)
