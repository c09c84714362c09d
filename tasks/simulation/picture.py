"""Simulations as an SVG chart of machines and busy slots over time. The same outcomes give the same bytes."""

from collections.abc import Sequence
from html import escape

from tasks.core.durations import format_duration
from tasks.simulation.outcome import Outcome
from tasks.text.svg import framed

_WIDTH, _PANEL, _TOP = 760.0, 110.0, 66.0
_LEFT, _RIGHT = 60.0, 740.0
_STYLE = """
  .card { fill: #ffffff; stroke: #d9d9d6 } text { font: 12px system-ui, sans-serif; fill: #222 }
  .faint { fill: #6b6b68 } .title { font-weight: 600; font-size: 15px } .end { text-anchor: end }
  .paid { fill: #7c8794; fill-opacity: .45 } .read { fill: #c2410c }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161719; stroke: #34363a } text { fill: #e8e8e6 } .faint { fill: #a0a3a8 }
    .paid { fill: #8b95a3; fill-opacity: .45 } .read { fill: #fb923c }
  }
"""


def picture(outcomes: Sequence[Outcome], slots: int) -> str:
    """Draw a panel for each outcome as SVG, all on the same time axis.

    Args:
        outcomes: one or more simulations.
        slots: slots of each machine.
    """
    work = outcomes[0].work
    title = f"{work.pages:,} pages in runs of {work.run_pages:,}, {work.arrivals}"
    height = _TOP + len(outcomes) * _PANEL + 34
    longest = max(len(each.machines) * each.seconds for each in outcomes)
    parts = [
        f'<text x="20" y="30" class="title">{escape(title)}</text>',
        '<text x="20" y="50" class="faint">Grey: machines that are paid for. Red: the fraction of their slots that '
        "reads. Simulated.</text>",
    ]
    for number, each in enumerate(outcomes):
        base = _TOP + (number + 1) * _PANEL - 8
        room = _PANEL - 36
        most = max(*each.machines, 1e-9)
        scale = (_RIGHT - _LEFT) / longest
        told = (
            f"{each.rules.policy}{', spot' if each.rules.spot else ''}: USD {each.usd:.2f}, "
            f"{each.occupancy:.0%} of what is paid for reads; 95 of 100 runs done in "
            f"{format_duration(each.finished_p95)}"
        )
        parts.append(f'<text x="20" y="{base - room - 8:.1f}">{escape(told)}</text>')
        parts.append(f'<text x="{_LEFT - 6:.0f}" y="{base - room + 10:.1f}" class="faint end">{each.peak}</text>')
        busy = [value / slots for value in each.slots]
        for values, kind in ((each.machines, "paid"), (busy, "read")):
            parts.append(_area(values, each.seconds * scale, base, room / most, kind))
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = _LEFT + share * (_RIGHT - _LEFT)
        parts.append(
            f'<text x="{x:.1f}" y="{height - 14:.1f}" class="faint end">{format_duration(share * longest)}</text>'
        )
    return framed(_WIDTH, height, title, _STYLE, parts)


def _area(values: Sequence[float], width: float, base: float, scale: float, kind: str) -> str:
    points = [(_LEFT, base)]
    for place, value in enumerate(values):
        y = base - value * scale
        points += [(_LEFT + place * width, y), (_LEFT + (place + 1) * width, y)]
    points.append((_LEFT + len(values) * width, base))
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>'
