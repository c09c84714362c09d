"""What pages cost that are taken from their text layer: `hearth read --text-layer auto` as people call it.

`python -m tests.benchmarks.text_layers [--pages 500] [--repeats 3]` writes a PDF of pages of text, in columns and with
tables, and reads it with the command, from its start to its end, each time into an empty directory. Nothing listens at
the address of its server, and no Prefect server is started. A bare loop over `page.get_text` in one process shows what
the extraction alone takes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pymupdf

from tests.benchmarks.section import Section
from tests.benchmarks.servers import ROOT, Machine
from tests.support.environment import clean
from tests.support.layers import PROSE

_NOWHERE = "http://127.0.0.1:9"
_BARE = "import pymupdf, sys; print(sum(len(page.get_text()) for page in pymupdf.open(sys.argv[1])))"


def write_pages(path: Path, pages: int) -> None:
    """Write A4 pages as programs do: of text over the whole width, of two columns, and of text with a ruled table."""
    with pymupdf.open() as pdf:
        for number in range(pages):
            page = pdf.new_page(width=595, height=842)
            page.insert_text((60, 50), f"{number + 1}. The warm oven", fontsize=18)
            if number % 3 == 0:
                page.insert_textbox((60, 70, 535, 780), "".join(PROSE) * 9, fontsize=11)
            elif number % 3 == 1:
                for left in (60, 310):
                    page.insert_textbox((left, 70, left + 225, 780), "".join(PROSE) * 6, fontsize=9)
            else:
                _with_table(page, number)
            page.clean_contents()
        pdf.save(path, garbage=3, deflate=True)


def _with_table(page: pymupdf.Page, number: int) -> None:
    page.insert_textbox((60, 70, 535, 300), "".join(PROSE) * 4, fontsize=10)
    for row in range(21):
        page.draw_line((60, 320 + 20 * row), (535, 320 + 20 * row))
    for column in range(6):
        page.draw_line((60 + 95 * column, 320), (60 + 95 * column, 720))
    for row in range(20):
        for column in range(5):
            page.insert_text((65 + 95 * column, 334 + 20 * row), f"Loaves {number + row * column}", fontsize=9)


def measured(path: Path, output: Path, pages: int) -> dict[str, float]:
    """Run the command once, and return what it took.

    Raises:
        SystemExit: a page was not taken from its text layer, or something was paid for.
    """
    command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(path), "--text-layer", "auto"]
    options = ["--backend", "url", "--model", "reader:1b", "--output", str(output), "--json"]
    environment = {**clean(), "HEARTH_URL": _NOWHERE, "HEARTH_HOME": str(output.parent / "home")}
    machine = Machine()
    seconds, cpu, out = timed([*command, *options], environment)
    outcome = json.loads(out)
    if (outcome["text_layer"], outcome["cost_usd"], outcome["slots"]) != (pages, 0, 0):
        raise SystemExit(f"{outcome['text_layer']} of {pages} pages were taken from their text layer: {outcome}")
    return {"seconds": seconds, "cpu": cpu, "others": machine.others()}


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Run a command, and return its seconds, processor seconds with those of its processes, and output."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, done.stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.text_layers")
    parser.add_argument("--pages", type=int, nargs="+", default=[1, 500])
    parser.add_argument("--repeats", type=int, default=3, help="the table shows medians and the range")
    options = parser.parse_args()
    columns = ("pages", "seconds", "CPU, s", "CPU, ms a page", "bare get_text, CPU, ms a page", "cost", "other work")
    rows = []
    with tempfile.TemporaryDirectory(prefix="hearth-layers-") as name:
        for pages in options.pages:
            path = Path(name) / f"{pages}.pdf"
            write_pages(path, pages)
            runs = [measured(path, Path(name) / f"{pages}-{turn}", pages) for turn in range(options.repeats)]
            bare = timed([sys.executable, "-c", _BARE, str(path)], dict(os.environ))[1]
            seconds = sorted(run["seconds"] for run in runs)
            cpu, others = (statistics.median(run[what] for run in runs) for what in ("cpu", "others"))
            shown = f"{statistics.median(seconds):.1f} ({seconds[0]:.1f}-{seconds[-1]:.1f})"
            each = (f"{cpu * 1000 / pages:.1f}", f"{bare * 1000 / pages:.1f}")
            rows.append((f"{pages}", shown, f"{cpu:.1f}", *each, "USD 0", f"{others:.2f}"))
    title = "`hearth read --text-layer auto`, from its call to its end: medians and range"
    Section("text-layers", title, columns, rows).show()


if __name__ == "__main__":
    main()
