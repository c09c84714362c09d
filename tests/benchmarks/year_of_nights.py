"""A year of nights on one home: what grows, and how long a night's bookkeeping takes.

`python -m tests.benchmarks.year_of_nights [NIGHTS] [DOCUMENTS]`, by default 365 nights of 200 new documents and 20 that
change every night, none of which ever leaves the inbox. The reading is SIMULATED (see tests/support/nights.py); what is
measured is everything else that a night does on disk. Prefect's part is tests/benchmarks/year_in_prefect.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tasks.settings.settings import Settings
from tests.support.nights import Night, Nights

_SHOWN = (1, 30, 90, 180, 270, 365)


def main(count: int, documents: int) -> None:
    """Let them go by, and print some of them."""
    table = Table("night", "inbox", "index s", "look s", "report s", "clean s", "memory MB")
    columns: list[str] = []
    with tempfile.TemporaryDirectory(prefix="hearth-nights-") as name:
        directory = Path(name)
        settings = Settings(home=directory / "home", output=directory / "results")
        nights = Nights(directory, settings, documents)
        for number in range(count):
            shown = number + 1 in _SHOWN or number + 1 == count
            # On the others only what is new is looked at, or it would take hours; all are noted and delivered.
            night = nights.night(number, whole=shown)
            if shown:
                sizes = nights.sizes()
                if not columns:
                    columns = list(sizes)
                    for column in columns:
                        table.add_column(column, justify="right")
                table.add_row(f"{number + 1}", *_row(night), *(f"{n}: {b / 1e6:.1f} MB" for n, b in sizes.values()))
                sys.stderr.write(f"night {number + 1} is over\n")
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def _row(night: Night) -> list[str]:
    seconds = (f"{night.seconds[what]:.2f}" for what in ("index", "look", "report", "clean"))
    return [f"{night.read + night.unchanged}", *seconds, f"{psutil.Process().memory_info().rss / 1e6:.0f}"]


if __name__ == "__main__":
    main(*[int(each) for each in sys.argv[1:] or ("365", "200")])
