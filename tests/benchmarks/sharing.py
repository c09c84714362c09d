"""How runs in processes of their own share the slots of one server, seen by that server.

`python -m tests.benchmarks.sharing` has 1, 2, 5 and 20 `hearth read` at once read from one server that works on 8 pages
at once, 2 s each, and holds whatever else it is sent. It measures how many requests are in flight together, how busy
the slots are against one run's, how long a run waits for its first page, and how evenly pages go to the runs; then what
becomes of the slots when newcomers meet a run that has them all, when a run ends before the others, when one is killed,
when a run has two servers, one of them slower, and when a server refuses pages or slows down for a while. Runs wait at
a starting line until all of them are about to warm up: starting 20 of them on two cores takes longer than what is to be
seen. Raw figures go to build/bench/sharing.json, pictures to build/bench/sharing-*.svg.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.page_times import write_pdf
from tests.benchmarks.servers import ROOT, Machine, PrefectServer, prefect_server
from tests.benchmarks.sharing_figures import busy_again, lost_slots
from tests.benchmarks.sharing_picture import draw, show
from tests.benchmarks.sharing_runs import Row, Runs, in_flight
from tests.support.ollama.counting import counting_ollama, seconds_within, sent

BUILD = ROOT / "build" / "bench"
_PHASE_PAGES = 30


@dataclass
class Bench:
    """One run of the whole."""

    directory: Path
    prefect: PrefectServer
    slots: int
    seconds: float
    work: int
    rows: list[Row]

    def together(self, count: int) -> None:
        """So many at once, with the same number of pages in all."""
        pages = math.ceil(self.work / count)
        with self._runs(pages) as runs:
            runs.line_up(count, pages)
            runs.wait()
            self._keep(runs.row("together", self.seconds))

    def newcomers(self) -> None:
        """Three come, one by one, when a long run has every slot."""
        with self._runs(self.work) as runs:
            runs.start(1, self.work)
            runs.until(lambda: runs.started(1, self.slots))
            for run in (2, 3, 4):
                runs.start(run, self.slots * 2)
            runs.wait()
            self._keep(runs.row("newcomers", self.seconds))

    def early(self) -> None:
        """One of two ends long before the other."""
        with self._runs(self.work) as runs:
            server = runs.servers[0]
            server.open.clear()
            runs.start(1, self.work // 2)
            runs.start(2, self.slots * 2)
            runs.until(lambda: server.waiting >= 2)
            runs.let_go()
            runs.wait()
            ends = [note for note in server.pages if note.run == 2 and note.ended]
            last_start, last_end = max(note.started or 0 for note in ends), max(note.ended or 0 for note in ends)
            runs.events.append((last_end, "run 2 has no more pages"))
            again = busy_again(server.pages, self.slots, last_end)
            lost = lost_slots(server.pages, self.slots, last_start, last_end + self.seconds * 2)
            self._keep(runs.row("early", self.seconds, busy_again=again, lost_slot_seconds=lost))

    def killed(self) -> None:
        """One of three is killed while it has pages in flight."""
        with self._runs(self.work) as runs:
            server = runs.servers[0]
            runs.line_up(3, self.work)
            runs.until(lambda: all(runs.started(run, self.slots // 2) for run in (1, 2, 3)))
            at = runs.kill(2)
            # With their own slots and those of the dead run, the others have all of them.
            runs.until(lambda: in_flight(server, (1, 3)) >= self.slots or len(runs.outcomes) > 1)
            time.sleep(self.seconds * 3)
            for run in (1, 3):
                runs.processes[run].kill()
            runs.wait()
            others = [note for note in server.pages if note.run != 2]
            lost = [note for note in server.pages if note.run == 2 and note.ended is not None and note.ended >= at]
            again = busy_again(others, self.slots, at)
            self._keep(runs.row("killed", self.seconds, busy_again=again, pages_lost=len(lost)))

    def pool(self) -> None:
        """One run has two servers, and the second takes twice as long."""
        with self._runs(self.work, slots=(self.slots // 2, self.slots // 2)) as runs:
            quick, slow = runs.servers
            slow.seconds = lambda _page: self.seconds * 2
            runs.line_up(1, self.work // 2)
            runs.wait()
            read = [sum(note.status == 200 for note in server.pages) for server in (quick, slow)]
            self._keep(runs.row("pool", self.seconds, read_by=read))

    def trouble(self) -> None:
        """One run's server refuses what is over half its slots for a while, and is a fifth as quick for another."""
        page = self.seconds / 4
        with self._runs(self.work * 8) as runs:
            server, told = runs.servers[0], []

            def phase(name: str, *, bears: int = 256, slowness: float = 1) -> None:
                server.refuses = lambda held: 503 if held > bears else 0
                server.seconds = lambda _page: page * slowness
                began, before = time.monotonic(), len(server.pages)
                runs.events.append((began, name))
                runs.until(lambda: time.monotonic() > began + _PHASE_PAGES * page)
                notes = server.pages[before:]
                half = (began + time.monotonic()) / 2
                in_flight = seconds_within(sent(server.pages), half, time.monotonic()) / (time.monotonic() - half)
                told.append({"phase": name, "in_flight": in_flight, **Counter(str(note.status) for note in notes)})

            runs.line_up(1, self.work * 8)
            runs.until(lambda: server.held == self.slots)
            phase("well")
            phase(f"503 over {self.slots // 2}", bears=self.slots // 2)
            phase("well again")
            phase("5 times slower", slowness=5)
            phase("well again")
            runs.processes[1].kill()
            runs.wait()
            self._keep(runs.row("trouble", page, phases=told))

    @contextmanager
    def _runs(self, pages: int, slots: Sequence[int] = ()) -> Iterator[Runs]:
        with tempfile.TemporaryDirectory(dir=self.directory) as name, ExitStack() as stack:
            directory = Path(name)
            write_pdf(directory / "pages.pdf", pages)
            servers = [stack.enter_context(counting_ollama(each, self.seconds)) for each in slots or (self.slots,)]
            runs = Runs(directory, directory / "pages.pdf", servers, sum(slots) or self.slots)
            machine = Machine(self.prefect.process)
            try:
                yield runs
            finally:
                for process in runs.processes.values():
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                    process.wait()
            self.rows[-1]["others_cpu"] = machine.others()

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        print(json.dumps({name: value for name, value in row.items() if name != "notes"}), file=sys.stderr)  # noqa: T201
        self.prefect.settle()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sharing")
    parser.add_argument("--runs", type=int, nargs="*", default=[1, 2, 5, 20], help="how many at once")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a page takes")
    parser.add_argument("--pages", type=int, default=240, help="of all runs together")
    scenes = ("newcomers", "early", "killed", "pool", "trouble")
    parser.add_argument("--scenes", nargs="*", choices=scenes, default=scenes)
    parser.add_argument("--draw", type=Path, help="show and draw a sharing.json, and measure nothing")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    if options.draw:
        rows = json.loads(options.draw.read_text())
    else:
        with tempfile.TemporaryDirectory(prefix="hearth-share-") as name, prefect_server(Path(name)) as prefect:
            bench = Bench(Path(name), prefect, options.slots, options.seconds, options.pages, rows)
            try:
                for count in options.runs:
                    bench.together(count)
                for scene in options.scenes:
                    getattr(bench, scene)()
            finally:
                (BUILD / "sharing.json").write_text(json.dumps(rows))
    show(rows)
    for picture in draw(rows, BUILD):
        print(picture.relative_to(ROOT))  # noqa: T201


if __name__ == "__main__":
    main()
