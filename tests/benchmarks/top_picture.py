"""docs/pictures/top.svg: what `hearth top` shows while two runs read. `python -m tests.benchmarks.top_picture`"""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.terminal_theme import DIMMED_MONOKAI

from flows.cli.console import Terminal
from flows.cli.top import drawn
from tasks.metrics.top import Watch
from tests.benchmarks.page_times import write_pdf
from tests.benchmarks.servers import ROOT, prefect_server
from tests.support.ollama.counting import counting_ollama

PICTURE = ROOT / "docs" / "pictures" / "top.svg"
_PAGES = {"annual-report.pdf": 120, "annex.pdf": 80}
_WHEN_DONE = 25
"""Pages of the first run, when the picture is taken."""


def main() -> None:
    """Read, and take the picture half-way."""
    times = random.Random(5)
    with tempfile.TemporaryDirectory(prefix="hearth-top-") as name:
        directory = Path(name)
        with prefect_server(directory), counting_ollama(8, lambda _: times.lognormvariate(1.2, 0.4)) as server:
            runs = [_run(directory, document, server.url) for document in _PAGES]
            home = Path(os.environ["HEARTH_HOME"])
            watch = Watch(home)
            try:
                while min([run.done for run in asyncio.run(watch.look()).runs] or [0]) < _WHEN_DONE:
                    time.sleep(0.5)
                _draw(watch)
            finally:
                for run in runs:
                    run.kill()
                    run.wait()


def _run(directory: Path, document: str, url: str) -> subprocess.Popen[bytes]:
    write_pdf(directory / document, _PAGES[document])
    command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(directory / document)]
    environment = {**os.environ, "HEARTH_URL": url, "HEARTH_OUTPUT": str(directory / "results")}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )


def _draw(watch: Watch) -> None:
    console = Terminal(record=True, width=132, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(drawn(asyncio.run(watch.look()), []))
    # No fonts of another site.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    PICTURE.write_text(console.export_svg(title="hearth top", theme=DIMMED_MONOKAI, code_format=form))


if __name__ == "__main__":
    main()
