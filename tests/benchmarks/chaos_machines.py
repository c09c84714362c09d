"""Documents read on EC2, simulated by moto and by machines that are real processes, while the machines go away."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from tests.benchmarks.chaos_judge import left_over
from tests.benchmarks.chaos_prefect import Prefect
from tests.benchmarks.chaos_runs import LONGEST_S
from tests.faults import judge
from tests.faults.marks import Page, document
from tests.faults.server import MODEL
from tests.support.aws.front import AwsFront, aws_front
from tests.support.aws.machine import Machine
from tests.support.aws.machines import Machines, machines
from tests.support.aws.moto_server import moto_server
from tests.support.aws.plan import Plan
from tests.support.aws.pool import make_network, make_pool

FIRST = 10_001
"""The number of the first document here, so that none is also one of the others."""

_PLAN = Plan(engine="tests.faults.engines:marked", engine_s=0.4, slots=2, boot_s=0.5)
_AT_ONCE = 2
_QUICK = {
    "HEARTH_BACKEND": "ec2",
    "HEARTH_MODEL": MODEL,
    "HEARTH_EC2__POLL_SECONDS": "0.2",
    "HEARTH_EC2__LEASE_SECONDS": "20",
    "HEARTH_READ__LONGEST_SIDE": "192",
    "HEARTH_READ__RETRY_SECONDS": "5",
}


class Loss(StrEnum):
    """How a machine goes."""

    NOTICE = "interruption notice"
    VANISH = "machine vanished"
    CRASH = "Ollama died"


@dataclass(frozen=True)
class Fate:
    """A document, and how its machine goes once `at` of its pages were begun with; `loss` None: it does not."""

    document: int
    pages: int
    loss: Loss | None
    at: int


def fate(seed: int, number: int) -> Fate:
    """The fate of one document."""
    chance = random.Random(f"{seed}:machines:{number}")
    pages = chance.randint(2, 6)
    return Fate(number, pages, chance.choice([*Loss, None]), chance.randint(1, pages))


def read_on_machines(
    seed: int, count: int, directory: Path, prefect: Prefect, console: Console
) -> dict[int, list[str]]:
    """Read so many documents; what is wrong, by document, and under -1 what is wrong with the machines."""
    fates = [fate(seed, number) for number in range(FIRST, FIRST + count)]
    with _cloud(directory) as (aws, found):
        environment = _environment(aws, directory, prefect)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            ended = [threads.submit(_read, each, found, directory, environment) for each in fates]
            errors = {each.document: future.result() for each, future in zip(fates, ended, strict=True)}
        wrong = {each.document: errors[each.document] or _wrong(each, found, directory / "results") for each in fates}
        wrong[-1] = [*_machines_left(found, environment), *left_over(Path(environment["HEARTH_HOME"]))]
        told = Counter(each.loss.value for each in fates if each.loss)
        console.print(f"{count} documents on {len(list(found))} machines: {dict(told)}", highlight=False)
    return {number: troubles for number, troubles in wrong.items() if troubles}


def _read(fate: Fate, found: Machines, directory: Path, environment: dict[str, str]) -> list[str]:
    path = document(directory, fate.document, fate.pages)
    command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(path), "--json"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=directory, env=environment, text=True, **pipes) as process:
        if fate.loss is not None:
            threading.Thread(target=_lose, args=(fate, found, process), daemon=True).start()
        try:
            out, err = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return [f"not done after {LONGEST_S} s"]
    return [f"exit code {process.returncode}: {(err + out)[-600:]}"] if process.returncode else []


def _lose(fate: Fate, found: Machines, process: subprocess.Popen[str]) -> None:
    """Have the machine go that was the last to begin with a page of the document."""
    while process.poll() is None:
        begun = [(at, machine) for machine in found for page, at in _begun(machine) if page.document == fate.document]
        if len(begun) >= fate.at:
            _, machine = max(begun, key=lambda each: each[0])
            if fate.loss is Loss.NOTICE:
                found.interrupt(machine, after=20)
            elif fate.loss is Loss.VANISH:
                found.vanish(machine)
            else:
                machine.crash()
            return
        time.sleep(0.02)


def _begun(machine: Machine) -> Iterator[tuple[Page, float]]:
    log = machine.directory / "images.log"
    for line in log.read_text().splitlines() if log.exists() else ():
        identifier, number, at = line.split()
        yield Page(int(identifier), int(number)), float(at)


def _wrong(fate: Fate, found: Machines, output: Path) -> list[str]:
    if troubles := judge.troubles(output, fate.document, fate.pages):
        return troubles
    read = Counter(page for machine in found for page, _ in _begun(machine))
    entries = judge.entries_in(judge.found_in(output, fate.document))
    counts = {number: (read[Page(fate.document, number)], len(entry["attempts"])) for number, entry in entries.items()}
    return [
        f"page {number} was begun with {begun} times, and the manifest tells of {attempts} attempts"
        for number, (begun, attempts) in counts.items()
        if not 1 <= begun <= attempts
    ]


def _machines_left(found: Machines, environment: dict[str, str]) -> Iterator[str]:
    """Machines that broke, or are still there when all are stopped."""
    deadline = time.monotonic() + 40  # a machine that was warned ends after 20 s
    broken = {each.id for each in found if each.server is not None and each.server.poll() is not None}
    while (left := broken & set(found.running())) and time.monotonic() < deadline:
        time.sleep(0.2)
    if left:
        yield f"broken machines still run: {sorted(left)}"
    stop = [sys.executable, "-P", "-m", "flows.cli.main", "stop", "--all"]
    stopped = subprocess.run(stop, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if stopped.returncode:
        yield f"`hearth stop --all`: {stopped.stderr}"
    while (running := found.running()) and time.monotonic() < deadline:
        time.sleep(0.2)
    if running:
        yield f"machines still run: {running}"


def _environment(aws: AwsFront, directory: Path, prefect: Prefect) -> dict[str, str]:
    of_others = ("HEARTH_", "OLLAMA_", "AWS_", "BOTO")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(of_others)}
    places = {
        "HEARTH_HOME": str(directory / "home-ec2"),
        "HEARTH_OUTPUT": str(directory / "results"),
        "PREFECT_API_URL": f"{prefect.url}/api",
    }
    return {**clean, **aws.environment, **_QUICK, **places}


@contextmanager
def _cloud(directory: Path) -> Iterator[tuple[AwsFront, Machines]]:
    with moto_server(directory) as moto, aws_front(moto) as aws, machines(aws, directory) as found:
        found.plan = _PLAN
        make_pool(aws, make_network(aws, _free_network()))
        yield aws, found


def _free_network() -> int:
    """The second octet of loopback addresses that no other simulation on this computer has."""
    for octet in range(77, 127):
        with suppress(OSError), socket.create_server((f"127.{octet}.255.254", 11434)):
            return octet
    raise RuntimeError("All networks of the harness are in use.")
