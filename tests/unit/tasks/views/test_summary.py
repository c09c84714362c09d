"""What a person is shown of how a document's run ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import FailureReason
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import BackendName, Document, ReadOptions
from tasks.results.listing import Listing
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import Attempt, PageEntry, PageResult, PageStatus
from tasks.results.store import ResultStore
from tasks.results.usage import EndpointRecord, MachineRecord, Spread
from tasks.views.summary import Held, page_row, summary
from tests.support.metrics.results import result

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TEXT = Path("/results/a|b/document.md")


def failed(number: int) -> PageEntry:
    attempt = Attempt(temperature=0.0, seconds=1.0, reason=FailureReason.EMPTY)
    told = {"identity": "i", "reason": FailureReason.EMPTY, "detail": "It says | nothing.", "attempts": (attempt,)}
    return PageEntry(page=number, status=PageStatus.FAILED, seconds=1.0, tokens_in=0, tokens_out=0, **told)


def manifest(**facts: Any) -> Manifest:
    endpoint = EndpointRecord(
        backend=BackendName.EC2, why="it was asked for", url="http://m:11434", slots_asked=8, slots=4, note="fewer"
    )
    machine = MachineRecord(id="i-1", kind="g4dn.xlarge spot", seconds=600, usd=0.05)
    told = {
        **{"status": RunStatus.PARTIAL, "model": "m", "digest": "0123456789abcdef", "endpoint": endpoint},
        **{"document": Document(path=Path("/in/a_b.pdf"), sha256="0" * 64, pages=10, size=1), "output": Path("/out")},
        **{"options": ReadOptions(prompt="p", longest_side=1, num_ctx=1, num_predict=1), "started_at": NOW},
        **{"pages": Listing(Path("/out/manifest.json"), 8, 1, (failed(3),), 1000, 200), "read_now": 10},
        **{"finished_at": NOW, "machines": (machine,), "cost_usd": 0.05, "read_seconds": 60.0, "warm_seconds": 30.0},
    }
    return Manifest(**told | facts)


def test_slots_that_no_page_has_shown_are_told_as_asked_for():
    endpoint = manifest().endpoint.model_copy(update={"slots": 8, "slots_seen": 3, "note": None})
    assert "| slots | 8 slots asked for, 3 seen at work at once |" in summary(manifest(endpoint=endpoint), (), TEXT)


@pytest.mark.parametrize(("seen", "told"), [(3, 3), (None, 8)])
def test_the_figures_of_a_run_tell_how_many_slots_were_seen(seen, told):
    endpoint = manifest().endpoint.model_copy(update={"slots": 8, "slots_seen": seen})
    figures = manifest(endpoint=endpoint).totals()
    assert (figures["slots"], figures["slots_seen"]) == (8, told)


def test_it_tells_pages_cost_slots_and_why_pages_failed():
    text = summary(manifest(), (), TEXT)
    assert text.startswith("# a\\_b\n\n**partial** Some pages failed; the others were read.\n")
    for told in (
        "| pages | 10: 8 read, 1 blank, 1 failed; 10 of them by this run |",
        "| time | 30 s to get warm, 60 s reading, 10 pages a minute |",
        "| tokens | 1,000 in, 200 out |",
        "| cost | USD 0.0500, USD 5.00 a thousand pages |",
        "| server | ec2 at http://m:11434: it was asked for |",
        "| slots | 4 of the 8 asked for (fewer) |",
        "| text | [/results/a\\|b/document.md](file:///results/a%7Cb/document.md) |",
        "| 3 | empty | 1 | It says \\| nothing. |",
    ):
        assert told in text


def test_the_time_to_the_first_token_is_shown_where_it_was_measured():
    assert "first token" not in summary(manifest(), (), TEXT)
    text = summary(manifest(first_token=Spread(median=0.5, p95=2.25)), (), TEXT)
    assert "| first token | median 0.50 s, 95th percentile 2.25 s |" in text
    rows = [page_row(result(first_seconds=seconds), excerpts=False) for seconds in (0.512, None)]
    assert [row["first token"] for row in rows] == [0.51, ""]


def test_it_tells_the_servers_with_leases_and_when_they_stop():
    held = Held("http://m:11434", "i-1, g4dn.xlarge spot", 0.3, 0.05, "a on host, 8 slots", "stop (idle)")
    text = summary(manifest(), (held,), TEXT)
    assert "| http://m:11434 | i-1, g4dn.xlarge spot | 0.300 | 0.0500 | a on host, 8 slots | stop (idle) |" in text


def test_of_very_many_failures_it_tells_the_first_and_how_many_more():
    pages = Listing(Path("/out/manifest.json"), 0, 0, tuple(failed(number) for number in range(1, 20_001)))
    text = summary(manifest(pages=pages), (), TEXT)
    assert "And 19950 more" in text
    assert len(text) < 10_000


def test_a_price_that_is_not_known_is_not_passed_over():
    machine = MachineRecord(id="i-1", kind="k", seconds=600, usd=None)
    assert "USD 0.0000; not every price is known" in summary(
        manifest(machines=(machine,), cost_usd=0.0, read_now=0), (), TEXT
    )


def test_a_page_is_shown_with_its_first_words_only_if_they_may_be_shown():
    result = PageResult(
        page=1, identity="i", status=PageStatus.READ, text="Secret | words", model="m", digest="d", finished_at=NOW
    )
    assert page_row(result, excerpts=True)["text"] == "Secret \\| words"
    assert "Secret" not in str(page_row(result, excerpts=False))


def test_flags_of_the_document_and_of_its_pages_are_told(tmp_path: Path):
    store = ResultStore(tmp_path)
    store.prepare()
    damaged = Flag(name=FlagName.DAMAGED, detail="part of it could not be | decoded")
    entry = failed(4).model_copy(update={"status": PageStatus.READ, "reason": None, "flags": (damaged,)})
    files = Flag(name=FlagName.FILES, detail="it carries a.pdf")
    listed = manifest(pages=Listing.of([entry], store.manifest_path), flags=(files,))
    store.write_manifest(listed, [entry])
    text = summary(listed, (), TEXT)
    assert "1 read, 0 blank, 0 failed, 1 flagged; " in text
    assert "## Flags of the document\n\n- files: it carries a.pdf\n" in text
    assert "| 4 | damaged: part of it could not be \\| decoded |" in text


def test_the_least_confident_pages_come_first():
    read = {"status": PageStatus.READ, "identity": "i", "reason": None, "detail": None, "attempts": ()}
    entries = [
        PageEntry(page=number, seconds=1.0, tokens_in=0, tokens_out=0, confidence=confidence, **read)
        for number, confidence in ((1, 0.95), (2, 0.7), (3, None), (4, 0.31))
    ]
    text = summary(manifest(pages=Listing.of(entries, Path("/out/manifest.json"))), (), TEXT)
    section = text.partition("## Doubtful pages")[2]
    rows = section.partition("\n## ")[0].splitlines()
    assert [row.split("|")[1].strip() for row in rows if row.startswith("| ")][2:] == ["4", "2"]
    assert "0.95" not in section


def test_the_summary_tells_the_lowest_confidence_and_what_is_not_known():
    pages = Listing(Path("/out/manifest.json"), 8, confidence=0.61, doubted=2, unsure=1)
    assert "| confidence | lowest 0.61, 2 pages doubtful; unknown of 1 page |" in summary(
        manifest(pages=pages), (), TEXT
    )


def test_a_page_of_unknown_confidence_says_so():
    facts = {"identity": "i", "model": "m", "digest": "d", "finished_at": NOW}
    read = PageResult(page=1, status=PageStatus.READ, **facts)
    assert page_row(read, excerpts=False)["confidence"] == "unknown"
    assert page_row(read.model_copy(update={"confidence": 0.5}), excerpts=False)["confidence"] == "0.50"
    assert page_row(read.model_copy(update={"status": PageStatus.BLANK}), excerpts=False)["confidence"] == ""
