"""A timeline as an SVG chart: occupancy of the slots above, page times below."""

from base64 import b64encode

from tasks.core.durations import format_duration
from tasks.text.svg import framed, line, text
from tasks.views.timeline import Timeline, quantile

_WIDTH, _HEIGHT = 760.0, 400.0
_LEFT, _RIGHT = 60.0, 736.0
_BUSY_TOP, _BUSY_BOTTOM = 70.0, 190.0
_TIME_TOP, _TIME_BOTTOM = 230.0, 350.0
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
"""Times between ticks, seconds."""
_STYLE = """
  .card { fill: #ffffff; stroke: #d9d9d6 } text { font: 12px system-ui, sans-serif; fill: #222 }
  .faint { fill: #6b6b68 } .title { font-weight: 600; font-size: 15px } .grid { stroke: #e4e4e0 }
  .busy { fill: #7c8794 } .band { fill: #c2410c; fill-opacity: .22 } .middle { fill: none; stroke: #c2410c }
  .failed { fill: #b91c1c }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161719; stroke: #34363a } text { fill: #e8e8e6 } .faint { fill: #a0a3a8 }
    .grid { stroke: #303236 } .busy { fill: #8b95a3 } .band { fill: #fb923c } .middle { stroke: #fb923c }
    .failed { fill: #f87171 }
  }
"""


def describe(timeline: Timeline) -> str:
    """Return the timeline in one line of text."""
    times = timeline.times
    middle, late = quantile(times, 0.5), quantile(times, 0.95)
    slots = max((bucket.slots for bucket in timeline.buckets), default=0)
    return (
        f"{timeline.pages:,} pages in {format_duration(timeline.lasted)} over {slots} slots, "
        f"{timeline.mean_occupancy:.0%} busy; half the pages took at most {middle:.2g} s, 95 % at most {late:.2g} s"
    )


def embedded(timeline: Timeline) -> str:
    """Return the chart as Markdown with an embedded image."""
    data = b64encode(picture(timeline).encode()).decode()
    return f"![{describe(timeline)}](data:image/svg+xml;base64,{data})"


def picture(timeline: Timeline) -> str:
    """Return the timeline as SVG."""
    buckets, total = timeline.buckets, max(len(timeline.buckets) * timeline.seconds, 1e-3)
    width = (_RIGHT - _LEFT) / max(1, len(buckets))
    longest = max((quantile(bucket.times, 0.95) for bucket in buckets), default=0.0) * 1.1 or 1.0
    parts = [
        text(20, 28, "Slots and page times", "title"),
        text(20, 48, describe(timeline), "faint"),
    ]
    for share in (0.0, 0.5, 1.0):
        parts += _tick(_BUSY_BOTTOM - share * (_BUSY_BOTTOM - _BUSY_TOP), f"{share:.0%}")
        parts += _tick(_TIME_BOTTOM - share * (_TIME_BOTTOM - _TIME_TOP), f"{share * longest:.2g} s")
    parts.append(text(_LEFT, _TIME_TOP - 12, "seconds a page: line half of them, band 5 to 95 %; red: failed", "faint"))
    band: list[tuple[float, float, float, float]] = []
    for index, bucket in enumerate(buckets):
        x = _LEFT + index * width
        high = timeline.occupancy(bucket) * (_BUSY_BOTTOM - _BUSY_TOP)
        parts.append(_box(x, _BUSY_BOTTOM - high, width - 0.5, high, "busy"))
        if bucket.failed:
            parts.append(_box(x, _TIME_BOTTOM - 4, max(2.0, width - 0.5), 4, "failed"))
        if bucket.times:
            low, middle, top = (
                _TIME_BOTTOM - quantile(bucket.times, share) / longest * (_TIME_BOTTOM - _TIME_TOP)
                for share in (0.05, 0.5, 0.95)
            )
            band.append((x + width / 2, low, middle, top))
    if band:
        edge = [f"{x:.1f},{top:.1f}" for x, _, _, top in band] + [f"{x:.1f},{low:.1f}" for x, low, _, _ in band[::-1]]
        parts.append(f'<polygon points="{" ".join(edge)}" class="band"/>')
        through = " ".join(f"{x:.1f},{middle:.1f}" for x, _, middle, _ in band)
        parts.append(f'<polyline points="{through}" class="middle"/>')
    for at in _clock_ticks(total):
        x = _LEFT + at / total * (_RIGHT - _LEFT)
        parts.append(text(x - 36 * at / total, _TIME_BOTTOM + 22, format_duration(at), "faint"))
    return framed(_WIDTH, _HEIGHT, describe(timeline), _STYLE, parts)


def _clock_ticks(total: float) -> list[float]:
    """Return at most seven round times from 0 on, in seconds."""
    step = next((step for step in _STEPS if total / step <= 6), total)
    return [step * number for number in range(int(total / step) + 1)]


def _tick(y: float, what: str) -> list[str]:
    return [line(_LEFT, y, _RIGHT, y, "grid"), text(14, y + 4, what, "faint")]


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'
