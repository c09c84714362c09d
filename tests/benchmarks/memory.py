"""What a page costs by the size of its document: the flow's peak memory, processor time, and Prefect's load.

`python -m tests.benchmarks.memory 100 1000 10000` reads documents of so many quick pages, and each once more when
nothing is left to be read.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.page_times import PageTimes, write_pdf
from tests.benchmarks.servers import ROOT, Machine, PageServer, PrefectServer, page_server, prefect_server

_SECONDS = 0.02
_SLOTS = 8


def main(sizes: list[int]) -> None:
    """Measure and print."""
    table = Table("pages", "peak MB", "renderer", "again", "client ms", "Prefect ms", "requests", "events", "DB bytes")
    table.add_column("other work")
    with tempfile.TemporaryDirectory(prefix="hearth-memory-") as name:
        directory = Path(name)
        with prefect_server(directory) as prefect, page_server(PageTimes(_SECONDS), _SLOTS, directory) as server:
            for size in sizes:
                table.add_row(*_measured(server, prefect, directory, size))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _measured(server: PageServer, prefect: PrefectServer, directory: Path, size: int) -> list[str]:
    pdf = directory / f"pages-{size}.pdf"
    write_pdf(pdf, size)
    database = directory / "prefect" / "prefect.db"
    machine = Machine(server.process, prefect.process)
    before = (prefect.requests(), prefect.events(), prefect.cpu(), _stored(database))
    first = _flow(server, directory, pdf, size)
    others = machine.others()
    prefect.settle()
    after = (prefect.requests(), prefect.events(), prefect.cpu(), _stored(database))
    requests, events, cpu, stored = (now - then for now, then in zip(after, before, strict=True))
    # What the server uses when nobody asks it for anything is not the pages'.
    cpu -= prefect.idle_share * (first["ended"] - first["started"])
    again = _flow(server, directory, pdf, size)
    return [
        f"{size}",
        f"{first['memory']:.1f}",
        f"{first['renderer']:.1f}",
        f"{again['memory']:.1f}",
        f"{first['cpu'] / size * 1000:.1f} + {first['renderer_cpu'] / size * 1000:.1f}",
        f"{cpu / size * 1000:.1f}",
        f"{requests / size:.3f}",
        f"{events / size:.3f}",
        f"{stored / size:.0f}",
        f"{others:.1f}",
    ]


def _flow(server: PageServer, directory: Path, pdf: Path, size: int) -> dict[str, float]:
    work = {"url": server.url, "images": "", "pdf": str(pdf), "pages": size, "slots": _SLOTS}
    work["output"] = str(directory / "output")
    command = [sys.executable, "-m", "tests.benchmarks.rivals", "flow", json.dumps(work)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _stored(database: Path) -> int:
    """Bytes in Prefect's database."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database.stat().st_size


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100, 1000, 10_000])
