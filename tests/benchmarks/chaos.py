"""Hundreds of documents read through faults: `python -m tests.benchmarks.chaos --documents 500 --seed 1`.

Each document has a schedule of its own, drawn from the seed and its number: faults of the wire at its pages' requests,
and blows at processes (its run killed with -9 and run again, its run stopped for seconds, the page server killed and
started again, Prefect's server stopped for seconds). Several runs are under way at once on one page server behind one
fault proxy. In the end all is judged from outside: the results' files, what the proxy forwarded, what the page server
began with, and which processes are left. `--only N` reads single documents of the same seed again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks.chaos_judge import left_over, wrong_with
from tests.benchmarks.chaos_plan import BlowKind, schedule, while_warming
from tests.benchmarks.chaos_prefect import Prefect, prefect_server
from tests.benchmarks.chaos_runs import Reading, Runs
from tests.faults.marks import document
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.server import page_server
from tests.faults.wire_faults import Call, Fault, Kind

PAGE_SECONDS = 0.08


@dataclass(frozen=True)
class Chaos:
    """What is to be done.

    Attributes:
        without: kinds of faults that are left out.
        flows: runs at once in the process that has many.
        commands: runs at once that are a command of their own.
        minutes: after so many no more documents are begun with.
    """

    seed: int
    numbers: tuple[int, ...]
    without: tuple[Kind, ...] = ()
    slots: int = 4
    flows: int = 4
    commands: int = 2
    minutes: float = 600.0


@dataclass
class Outcome:
    """What came of it; `wrong` has the troubles by document, 0 standing for those of no single one."""

    chaos: Chaos
    seconds: float
    documents: int
    pages: int
    runs: int
    refused: int
    pages_at_once: int
    faults: Counter[Kind]
    blows: Counter[BlowKind]
    wrong: dict[int, list[str]] = field(default_factory=dict)


def run(chaos: Chaos, directory: Path, prefect: Prefect, console: Console | None = None) -> Outcome:
    """Read all documents, and judge."""
    console = console or Console(quiet=True)
    readings = {number: Reading(schedule(chaos.seed, number, chaos.without)) for number in chaos.numbers}
    for number, reading in readings.items():
        reading.path = document(directory, number, reading.schedule.pages)
    began = time.monotonic()
    with page_server(directory, chaos.slots, PAGE_SECONDS) as server, fault_proxy(server.url) as proxy:
        with Runs(directory, server, proxy.url, prefect, chaos.slots) as runs:
            proxy.plan = _plan(chaos.seed, readings, runs)
            _read(chaos, readings.values(), runs, console)
            blows = runs.blows
        readings = {number: reading for number, reading in readings.items() if reading.runs}
        wrong = {
            number: troubles
            for number, reading in readings.items()
            if (troubles := wrong_with(reading, directory / "results", _calls(proxy, number)))
        }
        of_all = [*left_over(runs.home)]
        if proxy.pages_at_once > chaos.slots:
            of_all.append(f"{proxy.pages_at_once} pages were in flight at a server of {chaos.slots} slots")
        counted = Counter({page: sum(call.reached for call in proxy.asked(page)) for page in server.read})
        if not counted >= server.read:
            of_all.append(f"the server began with pages more often than it was asked: {server.read - counted}")
    if of_all:
        wrong[0] = of_all
    return Outcome(
        chaos,
        time.monotonic() - began,
        len(readings),
        sum(reading.schedule.pages for reading in readings.values()),
        sum(reading.runs for reading in readings.values()),
        sum(reading.refused for reading in readings.values()),
        proxy.pages_at_once,
        Counter(call.fault.kind for call in proxy.calls if call.fault),
        blows,
        wrong,
    )


def _plan(seed: int, readings: dict[int, Reading], runs: Runs):
    def plan(call: Call) -> Fault | None:
        reading = readings.get(call.page.document) if call.page else None
        if reading is None or call.page is None:
            return while_warming(seed, call.path, call.nth)
        reading.asked += 1
        for blow in reading.schedule.blows:
            if blow.at == reading.asked:
                runs.strike(reading, blow)
        faults = reading.schedule.faults[call.page]
        return faults[call.nth - 1] if call.nth <= len(faults) else None

    return plan


def _read(chaos: Chaos, readings: Iterable[Reading], runs: Runs, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(chaos.flows) as flows,
        ThreadPoolExecutor(chaos.commands) as commands,
    ):
        shown = progress.add_task("documents", total=len(chaos.numbers))

        until = time.monotonic() + chaos.minutes * 60

        def read(reading: Reading) -> None:
            if time.monotonic() > until:
                return
            (runs.by_command if reading.schedule.alone else runs.by_flow)(reading)
            progress.advance(shown)
            for error in reading.errors:
                progress.console.print(f"document {reading.schedule.document}: {error}", highlight=False, markup=False)

        done = [(commands if each.schedule.alone else flows).submit(read, each) for each in readings]
        try:
            for future in done:
                future.result()
        except BaseException:
            for future in done:
                future.cancel()
            raise


def _calls(proxy: FaultProxy, number: int) -> list[Call]:
    return [call for call in proxy.calls if call.page is not None and call.page.document == number]


def show(outcome: Outcome, console: Console) -> None:
    """A summary, and how to see each failure again."""
    chaos = outcome.chaos

    def counted(kinds: Counter) -> str:
        return ", ".join(f"{kind.value} {count}" for kind, count in kinds.most_common()) or "none"

    console.print(
        f"seed {chaos.seed}: {outcome.documents} of {len(chaos.numbers)} documents, {outcome.pages} pages, "
        f"{outcome.runs} runs "
        f"({outcome.refused} of them not taken by Prefect), "
        f"{outcome.seconds:.0f} s; most pages at once {outcome.pages_at_once} of {chaos.slots}\n"
        f"wire faults {outcome.faults.total()}: {counted(outcome.faults)}\n"
        f"blows {outcome.blows.total()}: {counted(outcome.blows)}",
        highlight=False,
        markup=False,
    )
    without = f" --without {' '.join(f'{kind.value!r}' for kind in chaos.without)}" if chaos.without else ""
    for number, troubles in sorted(outcome.wrong.items()):
        again = f"   again: python -m tests.benchmarks.chaos --seed {chaos.seed} --only {number}{without}"
        console.print(
            f"document {number if number > 0 else '-'}: {'; '.join(troubles)}{again if number > 0 else ''}",
            highlight=False,
            markup=False,
        )
    console.print(f"{sum(map(bool, outcome.wrong))} of {outcome.documents} documents failed", highlight=False)


def parsed(arguments: Collection[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chaos")
    parser.add_argument("--documents", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all that befalls them (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="+", help="only these documents of the seed")
    parser.add_argument("--without", type=Kind, nargs="+", default=[], help="kinds of wire faults to leave out")
    parser.add_argument("--slots", type=int, default=4, help="of the page server (default: %(default)s)")
    parser.add_argument("--flows", type=int, default=4, help="runs at once in one process (default: %(default)s)")
    parser.add_argument("--commands", type=int, default=2, help="commands at once (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=600.0, help="after so many no more documents are begun with")
    parser.add_argument("--machines", type=int, default=0, help="documents more that are read on EC2, in moto")
    parser.add_argument("--keep", type=Path, help="directory for documents, results and logs, kept afterwards")
    return parser.parse_args(list(arguments))


def main() -> int:
    """Run as the command line says; 1 if anything failed."""
    options = parsed(sys.argv[1:])
    console = Console(width=None if sys.stdout.isatty() else 160)
    numbers = tuple(options.only or range(1, options.documents + 1))
    chaos = Chaos(
        options.seed,
        numbers,
        tuple(options.without),
        options.slots,
        options.flows,
        options.commands,
        options.minutes,
    )
    with tempfile.TemporaryDirectory(prefix="hearth-chaos-") as temporary:
        directory = (options.keep or Path(temporary)).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        with prefect_server(directory) as prefect:
            outcome = run(chaos, directory, prefect, console)
            if options.machines:
                from tests.benchmarks.chaos_machines import read_on_machines

                outcome.wrong |= read_on_machines(options.seed, options.machines, directory, prefect, console)
    show(outcome, console)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
