"""A plan as an SVG chart: time against cost, both logarithmic. The same plan always gives the same bytes."""

from math import floor, log10

from tasks.core.durations import format_duration
from tasks.planning.estimate import Estimate, Running
from tasks.planning.verdict import CostPlan
from tasks.text.svg import framed, line, text

_WIDTH, _HEIGHT = 760.0, 460.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 730.0, 76.0, 410.0
_STYLE = """
  .card { fill: #ffffff; stroke: #d9d9d6 } text { font: 12px system-ui, sans-serif; fill: #222 }
  .faint { fill: #6b6b68 } .title { font-weight: 600; font-size: 15px } .grid { stroke: #e4e4e0 }
  .point { fill: #7c8794 } .best { fill: #c2410c } .span { stroke: #7c8794; stroke-opacity: .5 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161719; stroke: #34363a } text { fill: #e8e8e6 } .faint { fill: #a0a3a8 }
    .grid { stroke: #303236 } .point { fill: #8b95a3 } .best { fill: #fb923c }
  }
"""


def picture(plan: CostPlan) -> str:
    """Draw the plan as SVG. Estimates that are neither faster nor cheaper than another have no label."""
    rows = [row for row in plan.rows if row.running is not Running.WARM]
    across = _Axis([(row.total.low, row.total.high) for row in rows], _LEFT, _RIGHT)
    up = _Axis([(row.usd.low, row.usd.high) for row in rows], _BOTTOM, _TOP)
    title = f"{plan.pages:,} pages: time and cost"
    subtitle = plan.verdict
    if rows:
        subtitle = f"Dots are typical values, lines are ranges. Page times: {plan.notes[0][12:]}"
    parts = [
        text(20, 30, title, "title"),
        text(20, 50, subtitle, "faint"),
    ]
    for value in across.ticks:
        x = across.at(value)
        parts.append(line(x, _TOP, x, _BOTTOM, "grid"))
        parts.append(text(min(x - 14, _RIGHT - 34), _BOTTOM + 18, format_duration(value), "faint"))
    for value in up.ticks:
        y = up.at(value)
        parts.append(line(_LEFT, y, _RIGHT, y, "grid"))
        parts.append(text(14, y + 4, f"${value:g}", "faint"))
    for row in sorted(rows, key=lambda row: row == plan.best):  # the best one is drawn last
        x, y = across.at(row.total.typical), up.at(row.usd.typical)
        kind = "best" if row == plan.best else "point"
        parts.append(line(across.at(row.total.low), y, across.at(row.total.high), y, "span"))
        parts.append(line(x, up.at(row.usd.low), x, up.at(row.usd.high), "span"))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"/>')
        if row == plan.best or _unbeaten(row, rows):
            parts.append(text(min(x + 7, _RIGHT - 250), y - 6, row.name))
    return framed(_WIDTH, _HEIGHT, title, _STYLE, parts)


class _Axis:
    """A logarithmic axis that maps values to coordinates."""

    def __init__(self, spans: list[tuple[float, float]], start: float, end: float) -> None:
        tiny = 1e-6  # zero has no logarithm
        self._low = floor(log10(max(tiny, min((low for low, _ in spans), default=1.0))))
        highest = max((high for _, high in spans), default=1.0)
        self._high = max(self._low + 1, floor(log10(max(tiny, highest))) + 1)
        self._start, self._end = start, end
        self.ticks = [10.0**power for power in range(self._low, self._high + 1)]

    def at(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = (log10(max(10.0**self._low, value)) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)


def _unbeaten(row: Estimate, rows: list[Estimate]) -> bool:
    time, usd = row.total.typical, row.usd.typical
    return not any(
        other.total.typical <= time and other.usd.typical <= usd and other is not row and other.usd.typical < usd
        for other in rows
    )
