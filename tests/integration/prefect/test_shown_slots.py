"""A run says how many slots of its server it has seen, and the next run knows those that were proven."""

from __future__ import annotations

import pytest

from tests.integration.prefect import shared
from tests.integration.prefect.shared import Readers, whole
from tests.support.ollama.counting import most, sent

pytestmark = pytest.mark.long("runs the command twice: 12 s")

readers, counting = shared.readers, shared.counting


def test_a_document_of_three_pages_reports_the_two_slots_that_there_are(readers: Readers, counting):
    server = counting(2, 0.5)
    readers.start(1, [server], 3, "--slots", "8")
    outcome = readers.outcome(1)
    assert whole(outcome, 3)
    assert (outcome.json["slots"], outcome.json["slots_seen"]) == (2, 2)
    assert outcome.manifest["endpoint"]["note"].startswith("2 of the 8 slots requested")


def test_a_single_page_proves_one_of_the_slots_that_were_asked_for(readers: Readers, counting):
    server = counting(2, 0.5)
    readers.start(1, [server], 1, "--slots", "8")
    outcome = readers.outcome(1)
    assert (outcome.json["slots"], outcome.json["slots_seen"]) == (8, 1)
    assert outcome.manifest["endpoint"]["slots_seen"] == 1
    assert "8 slots asked for, 1 seen at work at once" in outcome.manifest["insight"]["told"]


def test_the_next_run_sends_as_many_as_were_proven(readers: Readers, counting):
    server = counting(2, 0.5)
    readers.start(1, [server], 12, "--slots", "8")
    assert readers.outcome(1).json["slots"] == 2
    before = len(server.notes)
    readers.start(2, [server], 8, "--slots", "8")
    outcome = readers.outcome(2)
    assert (outcome.json["slots"], outcome.json["slots_seen"]) == (2, 2)
    assert most(sent(server.notes[before:])) == 2
