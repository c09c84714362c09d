"""All that `make bench` measures, one after the other: `python -m tests.benchmarks.run_all`.

Before, between and after them a control loop is timed, which always does the same: its spread is the machine's noise.
All tables of the run are kept in build/bench/sections.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time

import psutil

from tests.benchmarks.section import SECTIONS, Section

MODULES = ("start", "makespan", "batch", "text_layers", "real_engine")
_TURNS = 5


def control() -> list[float]:
    """Return the seconds of some turns of a loop of pure Python, a tenth of a second or more each."""
    turns = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        sum(each * each for each in range(2_000_000))
        turns.append(time.perf_counter() - began)
    return turns


def noise(before: dict[str, list[float]], others: dict[str, float]) -> Section:
    """Return what the control loop took before each part, and what else was at work."""
    least = min(min(turns) for turns in before.values())
    rows = [
        (name, f"{sorted(turns)[_TURNS // 2] / least:.2f}", f"{max(turns) / least:.2f}", f"{others[name]:.1f}")
        for name, turns in before.items()
    ]
    title = f"On {machine()}: the control loop before each part, times its least of {least * 1000:.0f} ms"
    return Section("control", title, ("before", "median", "most", "load of the minute before"), rows)


def machine() -> str:
    """Return what is measured on."""
    memory = f"{psutil.virtual_memory().total / 1e9:.0f} GB"
    return f"{psutil.cpu_count()} processors ({platform.machine()}), {memory}, Python {platform.python_version()}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run_all")
    parser.add_argument("--only", nargs="+", choices=MODULES, help="some parts")
    options = parser.parse_args()
    shutil.rmtree(SECTIONS, ignore_errors=True)
    before, load, failed = {}, {}, []
    for name in options.only or MODULES:
        before[name], load[name] = control(), os.getloadavg()[0]
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    before["the end"], load["the end"] = control(), os.getloadavg()[0]
    noise(before, load).show()
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
