"""The summary of a document's run as Markdown: its pages, its servers and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.core.durations import format_duration
from tasks.core.paths import parse_path
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageEntry, PageResult, PageStatus
from tasks.results.rows import Row
from tasks.storage.files import StoragePath
from tasks.text.markdown import escaped, excerpt, link, table
from tasks.text.slots import slots_text

_MOST_FAILURES = 50
_ENDED = {
    RunStatus.COMPLETE: "Every page was read.",
    RunStatus.PARTIAL: "Some pages failed; the others were read.",
    RunStatus.STOPPED: "It ended before its last page. What is read stands; the next run reads what is left.",
}


@dataclass(frozen=True)
class Held:
    """A server of a run.

    Attributes:
        usd_per_hour: its cost while it runs; None if it is free or the price is unknown.
        usd: its cost for this run.
        leases: who uses it, and until when.
        ends: when it stops, or why it is gone.
    """

    url: str
    what: str
    usd_per_hour: float | None
    usd: float
    leases: str
    ends: str


def page_row(result: PageResult, *, excerpts: bool) -> dict[str, Any]:
    """Return a row of the table of pages, with the first words of the page if they may be shown."""
    row = {
        "page": result.page,
        "status": result.status.value,
        "seconds": round(result.seconds, 2),
        "first token": "" if result.first_seconds is None else round(result.first_seconds, 2),
        "tokens in": result.tokens_in,
        "tokens out": result.tokens_out,
        "confidence": confidence_word(result.confidence, read=result.status is PageStatus.READ),
        "attempts": len(result.attempts),
        "reason": result.reason or "",
        "flags": ", ".join(flag.name for flag in result.flags),
        "upright": str(result.correction or ""),
    }
    return row | {"text": excerpt(result.text)} if excerpts else row


def confidence_word(confidence: float | None, *, read: bool) -> str:
    """Return a confidence for people. One that is not known is no good sign: it says so, if anything was read."""
    return f"{confidence:.2f}" if confidence is not None else "unknown" if read else ""


def servers(held: Sequence[Held]) -> str:
    """Return the servers of a run as a table."""
    head = ("server", "machine", "USD an hour", "USD", "leases", "when it stops")
    rows = [
        (
            escaped(each.url),
            escaped(each.what),
            "" if each.usd_per_hour is None else f"{each.usd_per_hour:.3f}",
            f"{each.usd:.4f}",
            escaped(each.leases),
            escaped(each.ends),
        )
        for each in held
    ]
    return "\n".join(table(head, rows)) + "\n"


def summary(manifest: Manifest, held: Sequence[Held], text: StoragePath) -> str:
    """Return the summary of a run. A batch's documents share its servers, and have none of their own."""
    figures, endpoint = manifest.totals(), manifest.endpoint
    facts = {
        "pages": f"{figures['pages']}: {figures['read']} read, {figures['blank']} blank, {figures['failed']} failed"
        f"{flagged(manifest.pages.flagged)}; {manifest.read_now} of them by this run",
        "time": f"{format_duration(manifest.warm_seconds)} to get warm, "
        f"{format_duration(manifest.read_seconds)} reading, {figures['pages_per_minute']:g} pages a minute",
        **({"first token": str(manifest.first_token)} if manifest.first_token else {}),
        "tokens": f"{figures['tokens_in']:,} in, {figures['tokens_out']:,} out",
        "cost": _cost(manifest),
        "confidence": _confidence(manifest),
        **({"upright": manifest.pages.corrections} if manifest.pages.corrections else {}),
        "model": f"{manifest.model}, {manifest.digest[:12]}",
    }
    if endpoint is not None:
        facts["server"] = f"{endpoint.backend} at {endpoint.url}: {endpoint.why}"
        proven = f"{endpoint.slots} of the {endpoint.slots_asked} asked for"
        slots = proven if endpoint.slots_seen is None else slots_text(endpoint.slots, endpoint.slots_seen)
        facts["slots"] = slots + (f" ({endpoint.note})" if endpoint.note else "")
    lines = [f"# {escaped(manifest.document.name)}", "", f"**{manifest.status}** {_ENDED[manifest.status]}", ""]
    lines += table(("", ""), [*((name, escaped(value)) for name, value in facts.items()), ("text", link(text))])
    if manifest.insight:
        lines += ["", escaped(manifest.insight.told)]
    if held:
        lines += ["", "## Servers", "", servers(held)]
    if manifest.failed:
        lines += ["", "## Failed pages", "", *_failures(manifest.failed)]
    if manifest.pages.doubtful:
        rows = [(str(entry.page), f"{entry.confidence:.2f}") for entry in manifest.pages.doubtful]
        lines += ["", "## Doubtful pages", "", "The least confident first.", "", *table(("page", "confidence"), rows)]
        if (more := manifest.pages.doubted - len(rows)) > 0:
            lines += ["", f"And {more} more; manifest.json lists all."]
    if manifest.flags:
        lines += ["", "## Flags of the document", "", *(f"- {escaped(str(flag))}" for flag in manifest.flags)]
    if found := manifest.flagged(_MOST_FAILURES):
        rows = [(str(entry.page), escaped("; ".join(map(str, entry.flags)))) for entry in found]
        lines += ["", "## Flagged pages", "", *table(("page", "flags"), rows)]
        if manifest.pages.flagged > len(found):
            lines += ["", f"And {manifest.pages.flagged - len(found)} more; manifest.json lists all."]
    return "\n".join(lines) + "\n"


def documents(rows: Sequence[Row]) -> str:
    """Return a table of documents, each with its result, why it failed, and a link to its text."""
    head = ("document", "status", "pages", "read now", "failed", "confidence", "page seconds", "why", "text")
    cells = [
        (
            escaped(row.document),
            row.status,
            *map(str, (row.pages, row.read_now, row.failed)),
            confidence_word(row.confidence, read=row.unsure > 0),
            f"{row.page_seconds:.1f}",
            escaped(row.why),
            link(parse_path(row.text)) if row.text else "",
        )
        for row in rows
    ]
    return "\n".join(table(head, cells)) + "\n"


def flagged(count: int) -> str:
    """Return the number of flagged pages, to follow other counts; empty if there are none."""
    return f", {count} flagged" if count else ""


def _confidence(manifest: Manifest) -> str:
    pages = manifest.pages
    known = "" if pages.confidence is None else f"lowest {pages.confidence:.2f}, {pages.doubted} pages doubtful"
    unknown = f"unknown of {pages.unsure} page{'s' * (pages.unsure != 1)}" if pages.unsure else ""
    return "; ".join(filter(None, (known, unknown))) or "nothing was read"


def _cost(manifest: Manifest) -> str:
    if not manifest.machines:
        return "no machine was paid for"
    rate = f", USD {manifest.cost_usd / manifest.read_now * 1000:.2f} a thousand pages" if manifest.read_now else ""
    unknown = "" if all(machine.usd is not None for machine in manifest.machines) else "; not every price is known"
    return f"USD {manifest.cost_usd:.4f}{rate}{unknown}"


def _failures(failed: Sequence[PageEntry]) -> list[str]:
    rows = [
        (str(entry.page), escaped(entry.reason or ""), str(len(entry.attempts)), escaped(entry.why))
        for entry in failed[:_MOST_FAILURES]
    ]
    more = len(failed) - len(rows)
    note = ["", f"And {more} more: `manifest.json` lists all."] if more > 0 else []
    return [*table(("page", "reason", "attempts", "why"), rows), *note]
