"""What breaks between Hearth and Ollama costs no page: each is there once, with its own text, and its way on record."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Stage, Staged
from tests.faults.marks import Page
from tests.faults.wire_faults import HARMLESS, Fault, Kind, listed, nth

KINDS = [kind for kind in Kind if kind is not Kind.ANSWERED_TWICE]
SECONDS = {Kind.REFUSED: 0.5, Kind.HANG: 3600, Kind.DRIP: 1.0, Kind.LATENCY: 1.0}


def test_whatever_befalls_the_request_for_a_page_costs_no_page_and_is_on_record(staged: Staged):
    """Each page meets a fault of its own at its first request, and the last one none."""
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
def test_an_answer_that_comes_twice_is_not_taken_for_the_next_page_s(staged: Staged):
    """At once, when the client has the rest of it in its buffer, or later, when it waits for the next page's answer."""
    twice = {Page(2, number): [Fault(Kind.ANSWERED_TWICE, seconds)] for number, seconds in [(1, 0), (4, 0.05), (5, 0)]}
    stage = staged(listed(twice))
    outcome = stage.read(2, 7)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(2, 7) == []


@pytest.mark.long("another run of the command: 8 s")
def test_faults_while_the_model_gets_warm_cost_no_page(staged: Staged):
    faults = [Fault(Kind.RESET_BODY), Fault(Kind.EMPTY), Fault(Kind.WRONG_SHAPE)]
    paths = ["/api/version", "/api/tags", "/api/show", "/api/ps", "/api/generate"]
    plans = [nth(path, dict(enumerate(faults, 1))) for path in paths]
    stage = staged(lambda call: next(filter(None, (plan(call) for plan in plans)), None))
    outcome = stage.read(3, 2)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(3, 2) == []
    assert sum(call.fault is not None for call in stage.proxy.calls) == len(faults) * len(paths)
