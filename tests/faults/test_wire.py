"""What breaks between Hearth and Ollama costs no page: each is there once, with its own text, and its way on record."""

from __future__ import annotations

import pytest

from tests.commands import Outcome
from tests.faults.conftest import Stage, Staged
from tests.faults.marks import Page
from tests.faults.wire_faults import HARMLESS, Fault, Kind, listed, nth

DOCUMENT = 1
KINDS = [kind for kind in Kind if kind is not Kind.ANSWERED_TWICE]
SECONDS = {Kind.REFUSED: 0.5, Kind.HANG: 3600, Kind.DRIP: 1.0, Kind.LATENCY: 1.0}
PAGE = {kind: Page(DOCUMENT, number) for number, kind in enumerate(KINDS, 1)}
UNTOUCHED = len(KINDS) + 1


@pytest.fixture(scope="module")
def stage(staged: Staged) -> Stage:
    """Each page of the document meets a fault of its own at its first request; the last one meets none."""
    return staged(listed({page: [Fault(kind, SECONDS.get(kind, 0.0))] for kind, page in PAGE.items()}))


@pytest.fixture(scope="module")
def outcome(stage: Stage) -> Outcome:
    """The document, read once."""
    return stage.read(DOCUMENT, UNTOUCHED)


def test_the_document_ends_complete_with_every_page_once_and_right(stage: Stage, outcome: Outcome):
    assert outcome.code == 0, outcome.err
    assert stage.troubles(DOCUMENT, UNTOUCHED) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_fault_happened(stage: Stage, outcome: Outcome, kind: Kind):
    first, *others = stage.proxy.asked(PAGE[kind])
    assert first.fault.kind is kind
    assert bool(others) == (kind not in HARMLESS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_asked_for_again_only_after_a_fault(stage: Stage, outcome: Outcome, kind: Kind):
    """Faults that a page beside it met are its own, too: refused connections are refused to all."""
    calls = stage.proxy.asked(PAGE[kind])
    assert all(call.fault is not None or call.status is None or call.left for call in calls[:-1])
    assert calls[-1].status == 200


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in HARMLESS])
def test_the_manifest_explains_why_the_page_was_asked_for_again(stage: Stage, outcome: Outcome, kind: Kind):
    *failed, good = stage.attempts(DOCUMENT, PAGE[kind].number)
    # Connections that were refused have not come to the proxy.
    assert len(failed) >= len(stage.proxy.asked(PAGE[kind])) - 1
    assert all(attempt["reason"] and attempt["detail"] for attempt in failed)
    assert good["reason"] is None


def test_a_page_that_met_no_fault_was_asked_for_once(stage: Stage, outcome: Outcome):
    assert len(stage.proxy.asked(Page(DOCUMENT, UNTOUCHED))) == 1


def test_never_more_pages_are_asked_for_than_there_are_slots(stage: Stage, outcome: Outcome):
    assert stage.proxy.pages_at_once <= 2


def test_an_answer_that_comes_twice_is_not_taken_for_the_next_page_s(staged: Staged):
    """At once, when the client has the rest of it in its buffer, or later, when it waits for the next page's answer."""
    twice = {Page(2, number): [Fault(Kind.ANSWERED_TWICE, seconds)] for number, seconds in [(1, 0), (4, 0.05), (5, 0)]}
    stage = staged(listed(twice))
    outcome = stage.read(2, 7)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(2, 7) == []


def test_faults_while_the_model_gets_warm_cost_no_page(staged: Staged):
    faults = [Fault(Kind.RESET_BODY), Fault(Kind.EMPTY), Fault(Kind.WRONG_SHAPE)]
    paths = ["/api/version", "/api/tags", "/api/show", "/api/ps", "/api/generate"]
    plans = [nth(path, dict(enumerate(faults, 1))) for path in paths]
    stage = staged(lambda call: next(filter(None, (plan(call) for plan in plans)), None))
    outcome = stage.read(3, 2)
    assert outcome.code == 0, outcome.err
    assert stage.troubles(3, 2) == []
    assert sum(call.fault is not None for call in stage.proxy.calls) == len(faults) * len(paths)
