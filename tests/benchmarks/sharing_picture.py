"""What was measured of runs that share slots: a table, and pictures in which each page is a box in its run's colour."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from colorsys import hls_to_rgb
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.drawing import Picture

_LEFT, _RIGHT, _PANEL, _HEAD = 20.0, 740.0, 120.0, 66.0
Row = dict[str, Any]
_TITLES = {
    "newcomers": "Three newcomers meet a run that has every slot",
    "early": "A run ends before the other",
    "killed": "One of three runs is killed",
    "pool": "One run over two servers, the second half as quick",
    "trouble": "A server refuses pages for a while, and is slow for another",
}


class _Coloured(Picture):
    """With colours of its own, which suit light and dark pages alike."""

    def boxes(self, outline: Sequence[str], hue: float, lightness: float) -> None:
        """Rectangles of one colour, as SVG paths."""
        colour = "".join(f"{round(part * 255):02x}" for part in hls_to_rgb(hue, lightness, 0.62))
        self._shapes.append(f'<path d="{"".join(outline)}" fill="#{colour}"/>')


def show(rows: Sequence[Row]) -> None:
    """Print the figures."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    one = next((row["occupancy"] for row in rows if row["what"] == "together" and row["runs"] == 1), None)
    heads = (
        "runs",
        "in flight",
        "with probes",
        "busy",
        "of one's",
        "idle slot ms",
        "first page after s",
        "Jain",
        "CPU",
    )
    note = "idle slot: median, 95 %, most; Jain's index: of all, least window; CPU: ms a page, rendering left out"
    table = Table("", *heads, title=note)
    for row in rows:
        gaps = [row[name] for name in ("idle_slot_median", "idle_slot_95", "idle_slot_most")]
        waited = [wait.get("since_ready", wait["since_loaded"]) for wait in row["waits"].values()]
        jain = f"{row['jain']:.3f}, {row['jain_least']:.3f}" if row["jain"] and row["runs"] > 1 else ""
        table.add_row(
            row["what"],
            str(row["runs"]),
            f"{row['most_sent']} of {row['slots']}",
            str(row["most_sent_with_probes"]),
            f"{row['occupancy']:.3f}",
            f"{row['occupancy'] / one:.3f}" if one and row["what"] == "together" else "",
            ", ".join("" if gap is None else f"{gap * 1000:.0f}" for gap in gaps),
            f"{min(waited):.1f} to {max(waited):.1f}",
            jain,
            f"{row['cpu_ms_a_page']:.0f}",
        )
    console.print(table)
    for row in rows:
        told = {
            name: row[name]
            for name in ("busy_again", "lost_slot_seconds", "pages_lost", "read_by", "phases")
            if name in row
        }
        if told:
            console.print(f"{row['what']}: {told}")


def draw(rows: Sequence[Row], directory: Path) -> list[Path]:
    """A picture of all that ran together, and one of each other scene."""
    together = [row for row in rows if row["what"] == "together"]
    names = [f"{row['runs']} run{'s' if row['runs'] > 1 else ''}" for row in together]
    pictures = {row["what"]: _lanes(_TITLES[row["what"]], [row], [""]) for row in rows if row["what"] != "together"}
    if together:
        pictures["together"] = _lanes(f"Runs that share {together[0]['slots']} slots", together, names)
    return [picture.save(directory / f"sharing-{what}.svg") for what, picture in pictures.items()]


def _lanes(title: str, rows: Sequence[Row], names: Sequence[str]) -> Picture:
    """A panel for each server of each row: time to the right, a lane for each request in flight."""
    panels = [
        (row, name, notes, figures["occupancy"])
        for row, name in zip(rows, names, strict=True)
        for notes, figures in zip(row["notes"], row["servers"], strict=True)
    ]
    seconds = rows[0]["page_seconds"]
    note = f"a box is a page of {seconds:g} s in flight, its colour the run's; dashed: as many as the server works on"
    picture = _Coloured(_HEAD + len(panels) * _PANEL + 34, title, note)
    spans = [_span(notes) for _, _, notes, _ in panels]
    scale = (_RIGHT - _LEFT) / max(end - start for start, end in spans)
    base = _HEAD
    for (row, name, notes, busy), (start, end) in zip(panels, spans, strict=True):
        base += _PANEL
        top = base - _PANEL + 24
        slots = row["slots"]
        pages = [note for note in notes if note["page"]]
        placed, lanes = _placed(pages, end)
        height = (base - top) / max(slots, lanes)
        told = f"{name + ': ' if name else ''}at most {lanes} in flight, slots {busy:.1%} busy"
        picture.text(_LEFT, top - 5, told)
        picture.box(_LEFT, top, _RIGHT - _LEFT, base - top, "track")
        runs = sorted({note["run"] for note in pages})
        for place, run in enumerate(runs):
            boxes = [
                _box(_LEFT + (page["received"] - start) * scale, base - (lane + 1) * height, width * scale, height)
                for page, lane in placed
                if page["run"] == run and (width := (page["ended"] or end) - page["received"])
            ]
            picture.boxes(boxes, (place / len(runs) + 0.06) % 1, 0.46 if place % 2 else 0.58)
        picture.line(_LEFT, base - slots * height, _RIGHT, base - slots * height, "ideal")
        for moment, what in row["events"]:
            x = _LEFT + (moment - start) * scale
            picture.line(x, top - 4, x, base, "ideal")
            picture.text(x + 4, top + 12, what)
    longest = (_RIGHT - _LEFT) / scale
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500) if longest / each <= 10)
    for second in range(0, int(longest) + 1, step):
        x = _LEFT + second * scale
        picture.text(x, base + 20, f"{second} s", "faint" if not second else "faint middle" if x < 725 else "faint end")
    return picture


def _box(x: float, y: float, width: float, height: float) -> str:
    wide, high = max(0.4, width - 0.4), height - min(0.8, height / 5)
    return f"M{x:.1f} {y:.1f}h{wide:.1f}v{high:.1f}h-{wide:.1f}z"


def _span(notes: Sequence[Row]) -> tuple[float, float]:
    pages = [note for note in notes if note["page"]]
    ends = [note["ended"] for note in pages if note["ended"] is not None]
    return min(note["received"] for note in pages), max(ends)


def _placed(pages: Sequence[Row], end: float) -> tuple[list[tuple[Row, int]], int]:
    """Each page with the lowest lane that is free when it is sent, and how many lanes there are."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes, placed = 0, []
    for page in sorted(pages, key=lambda page: page["received"]):
        while busy and busy[0][0] <= page["received"]:
            heappush(free, heappop(busy)[1])
        lane = heappop(free) if free else lanes
        lanes = max(lanes, lane + 1)
        heappush(busy, (end if page["ended"] is None else page["ended"], lane))
        placed.append((page, lane))
    return placed, lanes
