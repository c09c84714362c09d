"""Pictures of what was measured, as SVG: legible on light and on dark pages, and without any library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

_WIDTH = 760
_STYLE = """
  .card { fill: #ffffff; stroke: #d9d9d6 } text { font: 13px system-ui, sans-serif; fill: #222 }
  .faint { fill: #6b6b68; font-size: 12px } .title { font-weight: 600; font-size: 15px }
  .grid { stroke: #e4e4e0; fill: none } .ideal { stroke: #111; fill: none; stroke-dasharray: 3 2 }
  .ours { fill: #c2410c } .theirs { fill: #7c8794 }
  .trend { stroke: #7c8794; stroke-width: 2 } .trend.best { stroke: #c2410c }
  .track { fill: #f1f1ee } .end { text-anchor: end } .middle { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161719; stroke: #34363a } text { fill: #e8e8e6 } .faint { fill: #a0a3a8 }
    .grid { stroke: #303236 } .ideal { stroke: #fff }
    .ours { fill: #fb923c } .theirs { fill: #8b95a3 } .track { fill: #222427 }
  }
"""


class Picture:
    """Shapes on a card."""

    def __init__(self, height: float, title: str, note: str) -> None:
        self._height = height
        self._title = title
        self._shapes: list[str] = []
        self.text(20, 30, title, "title")
        self.text(20, 50, note, "faint")

    def text(self, x: float, y: float, what: str, kind: str = "") -> None:
        """Words, their base line at y."""
        self._shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(what)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle."""
        size = f'width="{max(width, 0.8):.1f}" height="{height:.1f}"'
        self._shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} class="{kind}"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str = "grid") -> None:
        """A thin line."""
        self._shapes.append(f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" class="{kind}"/>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A filled outline."""
        outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f'<polygon points="{outline}" class="{kind}"/>')

    def save(self, path: Path) -> Path:
        """Write it."""
        size = f'viewBox="0 0 {_WIDTH} {self._height:.0f}" width="{_WIDTH}" height="{self._height:.0f}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(self._title)}">'
        card = f'<rect x=".5" y=".5" width="{_WIDTH - 1}" height="{self._height - 1:.0f}" rx="8" class="card"/>'
        path.write_text("\n".join([head, f"<style>{_STYLE}</style>", card, *self._shapes, "</svg>", ""]))
        return path


def draw(rows: Iterable[dict[str, Any]], names: dict[str, str], directory: Path) -> list[Path]:
    """All pictures that the rows allow."""
    of = [row for row in rows if row["what"] == "makespan"]
    pictures = []
    for setting in dict.fromkeys(row["setting"] for row in of):
        slug = "".join(sign if sign.isalnum() or sign == "." else "-" for sign in setting).replace("--", "-")
        here = [row for row in of if row["setting"] == setting]
        pictures.append(_ratios(here, names, setting).save(directory / f"ratios-{slug}.svg"))
        sizes = [row["pages"] for row in here if row["ratio"] and row["pages"] <= 500]
        if sizes:
            shown = [row for row in here if row["pages"] == max(sizes) and row["ratio"] and row["turn"] == 0]
            pictures.append(_occupancy(shown, names, setting).save(directory / f"occupancy-{slug}.svg"))
    return pictures


_BEYOND = 0.5  # bars end here, and say what they would have gone on to


def _ratios(rows: list[dict[str, Any]], names: dict[str, str], setting: str) -> Picture:
    """Bars: the time beyond the ideal, by rival and size."""
    rivals = list(dict.fromkeys(row["rival"] for row in rows))
    sizes = list(dict.fromkeys(row["pages"] for row in rows))
    left, right, bar, gap = 330.0, _WIDTH - 160.0, 18.0, 14.0
    height = 86 + len(rivals) * (len(sizes) * bar + gap) + 20
    note = f"{setting}. 0 % is the ideal: the same page times, list-scheduled over the slots"
    picture = Picture(height, "Time beyond the ideal makespan", note)
    for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        x = left + (right - left) * share / _BEYOND
        picture.line(x, 78, x, height - 20)
        picture.text(x, 72, f"{share:.0%}", "faint middle")
    y = 86.0
    for rival in rivals:
        picture.text(20, y + len(sizes) * bar / 2 + 4, names[rival])
        for size in sizes:
            found = [row for row in rows if (row["rival"], row["pages"]) == (rival, size)]
            picture.text(left - 8, y + bar - 5, f"{size:,} pages", "faint end")
            ratios = sorted(row["ratio"] for row in found if row["ratio"])
            if ratios:
                over = ratios[len(ratios) // 2] - 1
                width = (right - left) * min(max(over, 0.0), _BEYOND) / _BEYOND
                picture.box(left, y + 2, width, bar - 4, "ours" if rival == "flow" else "theirs")
                told = f"{over:+.1%}" if over <= _BEYOND else f"{over + 1:.1f} times the ideal"
                clear = left + width + 6
                picture.text(clear, y + bar - 5, told)
            elif found:
                picture.text(left + 6, y + bar - 5, f"not run: {found[0]['not_run']}", "faint")
            y += bar
        y += gap
    return picture


def _occupancy(rows: list[dict[str, Any]], names: dict[str, str], setting: str) -> Picture:
    """A panel for each rival: the share of slots that were busy, over the time since it began."""
    panel, left, right = 74.0, 20.0, _WIDTH - 20.0
    ideal = rows[0]["ideal"]
    # One that takes far longer is cut off, so that the others can be told apart.
    longest = max([ideal * 1.05, *(row["seconds"] for row in rows if row["ratio"] < 1.5)])
    note = (
        f"{rows[0]['pages']:,} pages, {setting}; full height: all slots busy; dashed: end of the ideal, {ideal:.1f} s"
    )
    height = 66 + len(rows) * panel + 34
    picture = Picture(height, "Busy slots over time", note)
    scale = (right - left) / longest
    base = 66.0
    for row in rows:
        base += panel
        top = base - panel + 24
        used = sum(end - start for start, end in row["busy"]) / row["slots"] / row["seconds"]
        picture.text(left, top - 5, f"{names[row['rival']]}: {used:.1%} busy, {row['seconds']:.1f} s")
        picture.box(left, top, (right - left), base - top, "track")
        steps = _shares(row["busy"], row["slots"], min(row["seconds"], longest), 140)
        width = min(row["seconds"], longest) * scale / len(steps)
        points = [(left, base)]
        for place, share in enumerate(steps):
            y = base - share * (base - top)
            points += [(left + place * width, y), (left + (place + 1) * width, y)]
        picture.area([*points, (left + len(steps) * width, base)], "ours" if row["rival"] == "flow" else "theirs")
        picture.line(left + ideal * scale, top - 4, left + ideal * scale, base, "ideal")
        if row["seconds"] > longest * 1.001:
            picture.text(right - 6, top + 16, f"goes on until {row['seconds']:.0f} s", "end faint")
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500) if longest / each <= 10)
    for second in range(0, int(longest) + 1, step):
        picture.text(
            left + second * scale,
            base + 20,
            f"{second} s",
            "faint" if not second else "faint middle" if left + second * scale < right - 10 else "faint end",
        )
    return picture


def _shares(busy: list[list[float]], slots: int, seconds: float, bins: int) -> list[float]:
    """The mean share of busy slots in each of so many equal times."""
    width = seconds / bins
    shares = [0.0] * bins
    for start, end in busy:
        for place in range(max(0, int(start / width)), min(bins - 1, int(end / width)) + 1):
            overlap = min(end, (place + 1) * width) - max(start, place * width)
            shares[place] += max(0.0, overlap) / width / slots
    return [min(1.0, share) for share in shares]
