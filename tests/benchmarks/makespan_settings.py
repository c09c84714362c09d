"""What the makespan benchmark measures together: slots, page times and sizes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from tests.benchmarks.page_times import PageTimes


@dataclass(frozen=True)
class Setting:
    """What is measured together, on one page server."""

    times: PageTimes
    slots: int
    sizes: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.slots} slots, {self.times.name}"


def settings(options: argparse.Namespace) -> list[Setting]:
    """Those asked for, or the usual ones."""
    if options.seconds:
        times = [PageTimes(seconds, sigma, options.seed) for seconds in options.seconds for sigma in options.sigma]
        sizes = tuple(options.pages or (50, 500))
        return [Setting(each, slots, sizes) for each in times for slots in options.slots]
    sizes = (50, 500, 5000) if options.full else (50, 500)
    usual = [
        Setting(PageTimes(0.2), 8, sizes),
        Setting(PageTimes(0.2, 0.5, options.seed), 8, sizes),
    ]
    if options.full:
        usual += [
            Setting(PageTimes(0.2), 4, (50, 500)),
            Setting(PageTimes(2.0), 8, (50, 500)),
            Setting(PageTimes(2.0, 0.5, options.seed), 16, (50, 500)),
        ]
    return usual
