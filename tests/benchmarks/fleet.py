"""The defaults, chosen by simulation: `python -m tests.benchmarks.fleet` prints the tables and draws the pictures.

Waiting has a price here, so that time and money can be added: what an hour of somebody who waits is worth, USD.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import log10
from pathlib import Path

from tasks.core.durations import format_duration
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import shipped_book
from tasks.simulation.fleet import simulate
from tasks.simulation.outcome import Outcome
from tasks.simulation.scenario import Arrivals, Policy, Rules, Work
from tests.benchmarks.drawing import Picture

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
GIVEN, BOOK = Assumptions(), shipped_book()
RUN_PAGES = 50
A_DAY = (4, 24, 100, 400)
IDLE_MINUTES = (1, 2, 5, 10, 15, 20, 30, 60)
SIZES = (50, 500, 5_000, 50_000, 500_000, 10_000_000)
THRESHOLDS = (1, 2, 4, 8, 16, 32, 64, 128)
SLOTS = (1, 2, 4, 8, 16)
RATES = (1, 3, 10, 30, 100, 300, 600, 1_000)
Line = Sequence[tuple[float, float]]


def of_a_day(rate: int, rules: Rules) -> tuple[Outcome, float]:
    """So many runs a day, and the days that were simulated: enough for 400 runs."""
    days = max(2.0, 400 / rate)
    work = Work(pages=int(rate * days) * RUN_PAGES, run_pages=RUN_PAGES, days=days)
    return simulate(work, rules, GIVEN, BOOK), days


def at_once(pages: int, rules: Rules, given: Assumptions = GIVEN) -> Outcome:
    """One run."""
    return simulate(Work(pages=pages, run_pages=pages, arrivals=Arrivals.ONCE), rules, given, BOOK)


def idle_minutes(waiting_usd: float) -> None:
    """Dollars of a run, its wait included, by how long machines stay; and what each choice costs over the best."""
    _say(f"\nidle minutes; an hour of waiting is worth USD {waiting_usd:g}\nruns a day  " + _row(IDLE_MINUTES, "d"))
    regret = dict.fromkeys(IDLE_MINUTES, 1.0)
    for rate in A_DAY:
        dollars = {}
        for minutes in IDLE_MINUTES:
            seen, _ = of_a_day(rate, Rules(idle_seconds=minutes * 60))
            dollars[minutes] = seen.usd / seen.runs + seen.started_mean / 3600 * waiting_usd
        for minutes, usd in dollars.items():
            regret[minutes] = max(regret[minutes], usd / min(dollars.values()))
        _say(f"{rate:<12}" + _row(list(dollars.values()), ".3f"))
    _say("worst       " + _row(list(regret.values()), ".2f"))


def thresholds(waiting_usd: float) -> None:
    """Dollars of one run, its time included, by the pages a slot for which a further machine comes; 64 at most."""
    _say(f"\npages a slot; an hour of waiting is worth USD {waiting_usd:g}\npages       " + _row(THRESHOLDS, "d"))
    regret = dict.fromkeys(THRESHOLDS, 1.0)
    for pages in SIZES:
        dollars = {}
        for threshold in THRESHOLDS:
            seen = at_once(pages, Rules(machines=64, pages_a_slot=threshold))
            dollars[threshold] = seen.usd + seen.finished_max / 3600 * waiting_usd
        for threshold, usd in dollars.items():
            regret[threshold] = max(regret[threshold], usd / min(dollars.values()))
        _say(f"{pages:<12}" + _row(list(dollars.values()), ".2f"))
    _say("worst       " + _row(list(regret.values()), ".2f"))


def slots() -> None:
    """Time and dollars of 5,000 pages by the slots of a machine."""
    _say("\nslots       " + _row(SLOTS, "d"))
    seen = [at_once(5_000, Rules(), GIVEN.model_copy(update={"slots": each})) for each in SLOTS]
    _say("minutes     " + _row([each.finished_max / 60 for each in seen], ".1f"))
    _say("USD         " + _row([each.usd for each in seen], ".3f"))


def pictures() -> None:
    """Dollars a day of every policy by runs a day; dollars and waits by idle minutes; time and dollars by threshold."""
    lines: dict[str, Line] = {}
    for policy in Policy:
        points = []
        for rate in RATES:
            seen, days = of_a_day(rate, Rules(policy=policy, machines=4 if policy is Policy.SERVICE else 1))
            points.append((float(rate), seen.usd / days))
        _say(f"{policy:<12}" + _row([usd for _, usd in points], ".2f"))
        lines[policy] = points
    _draw("fleet-policies", "USD a day by runs a day", "Runs of 50 pages, on demand. Simulated", lines, "{:g} a day")
    idle: dict[str, Line] = {}
    for rate in A_DAY:
        seen_at = [of_a_day(rate, Rules(idle_seconds=minutes * 60))[0] for minutes in IDLE_MINUTES]
        points = zip(IDLE_MINUTES, (each.usd_per_1000 for each in seen_at), strict=True)
        idle[f"{rate} runs a day"] = [(float(minutes), usd) for minutes, usd in points]
        _say(
            f"{rate:<12}" + _row([each.started_mean for each in seen_at], ".0f") + "   s to the first page, on average"
        )
    _draw(
        "fleet-idle", "USD per 1,000 pages by idle minutes", "Runs of 50 pages, on demand. Simulated", idle, "{:g} min"
    )
    grown: dict[str, Line] = {}
    for pages in SIZES[1:]:
        points = [at_once(pages, Rules(machines=64, pages_a_slot=each)) for each in THRESHOLDS]
        grown[f"{pages:,} pages"] = sorted({(each.finished_max / 60, each.usd) for each in points})
    note = "Each line: 1 to 128 pages a slot, 64 machines at most. Simulated"
    _draw("fleet-threshold", "USD by minutes until the last page", note, grown, "{:g} min")


def _draw(name: str, title: str, note: str, lines: Mapping[str, Line], unit: str) -> None:
    picture = Picture(420, title, note)
    every = [point for line in lines.values() for point in line]
    across, up = _axis([x for x, _ in every], 70, 590), _axis([y for _, y in every], 380, 76)
    for power in range(-3, 6):
        if 70 <= (x := across(10.0**power)) <= 590.5:
            picture.line(x, 76, x, 380)
            picture.text(x, 400, unit.format(10.0**power), "faint middle")
        if 75 <= (y := up(10.0**power)) <= 380.5:
            picture.line(70, y, 590, y)
            picture.text(62, y + 4, f"${10.0**power:g}", "faint end")
    for number, line in enumerate(lines.values()):
        kind = "trend best" if not number else "trend"
        for (x, y), (to_x, to_y) in pairwise(line):
            picture.line(across(x), up(y), across(to_x), up(to_y), kind)
    below = 0.0
    for label, line in sorted(lines.items(), key=lambda each: up(each[1][-1][1])):
        below = max(below + 16, up(line[-1][1]) + 4)  # labels do not cover each other
        picture.text(across(line[-1][0]) + 8, below, label)
    picture.save(PICTURES / f"{name}.svg")


def _axis(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = log10(min(values)), log10(max(values))
    return lambda value: start + (log10(value) - low) / max(high - low, 1e-9) * (end - start)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _row(values: Sequence[float], how: str) -> str:
    return "".join(f"{format(value, how):>9}" for value in values)


if __name__ == "__main__":
    for usd in (5.0, 50.0):
        idle_minutes(usd)
        thresholds(usd)
    slots()
    pictures()
    _say(f"\npictures in {PICTURES}; 10 million pages take {format_duration(at_once(10**7, Rules(machines=64)).span)}")
