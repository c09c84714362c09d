"""What runs cost by their own accounts, the manifests below a directory: for servers that no pool's ledger knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tasks.costs.bill import Bill, By, Line
from tasks.files import Place
from tasks.manifest import Manifest
from tasks.results import ResultStore


def local_bill(output: Place, by: By, since: datetime) -> Bill:
    """Sum up the manifests of runs that ended since a time. Only a document's last run has one."""
    until = datetime.now(UTC)
    if not isinstance(output, Path):
        told = "Without a pool, costs are looked for in local directories alone."
        return Bill(by=by, since=since, until=until, lines=(), total=Line(name="total"), notes=(told,))
    sums: dict[str, tuple[float, float]] = {}
    paid = False
    for manifest in _manifests(output, since):
        paid = paid or bool(manifest.machines)
        for name, seconds, usd in _entries(manifest, by):
            before = sums.get(name, (0.0, 0.0))
            sums[name] = before[0] + seconds, before[1] + usd
    lines = tuple(Line(name=name, leased=seconds, usd=usd) for name, (seconds, usd) in sorted(sums.items()))
    total = Line(name="total", leased=sum(line.leased for line in lines), usd=sum(line.usd for line in lines))
    notes = [f"From the manifests below {output}, which tell of each document's last run, and not of idling."]
    if not paid:
        notes.append("No machine was paid for: servers of this computer, and those that others run, cost nothing here.")
    return Bill(by=by, since=since, until=until, lines=lines, total=total, notes=tuple(notes))


def _manifests(output: Path, since: datetime) -> Iterator[Manifest]:
    for path in sorted(output.glob("*/manifest.json")):
        manifest = ResultStore(path.parent).manifest()
        if manifest is not None and manifest.finished_at >= since:
            yield manifest


def _entries(manifest: Manifest, by: By) -> Iterator[tuple[str, float, float]]:
    """Names, seconds for which a server was held, and USD."""
    machines = manifest.machines
    held = sum(machine.seconds for machine in machines) or manifest.warm_seconds + manifest.read_seconds
    match by:
        case By.DAY:
            yield f"{manifest.finished_at.astimezone(UTC):%Y-%m-%d}", held, manifest.cost_usd
        case By.DOCUMENT:
            yield manifest.document.name, held, manifest.cost_usd
        case By.MACHINE if machines:
            yield from ((f"{m.id} ({m.kind})", m.seconds, m.usd or 0.0) for m in machines)
        case By.MACHINE:
            yield f"{manifest.endpoint.backend if manifest.endpoint else 'no'} server", held, 0.0
