"""The figures of the makespan benchmark, as tables and pictures."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.drawing import draw
from tests.benchmarks.section import BUILD, Section
from tests.benchmarks.servers import ROOT

RIVALS = {
    "flow": "Hearth's flow",
    "bare": "bare asyncio + httpx loop",
    "map": "Prefect, ThreadPoolTaskRunner.map",
    "zerox": "py-zerox 0.0.7",
    "olmocr": "olmOCR 0.4.27",
    "limit": "Prefect, global limit a page",
}

ON_PREFECT = {"flow", "map", "limit"}

Row = dict[str, Any]


def show(rows: list[Row]) -> None:
    """Print them."""
    for name in dict.fromkeys(row["setting"] for row in rows if row["what"] == "makespan"):
        of = [row for row in rows if row["setting"] == name and row["what"] == "makespan"]
        sizes = list(dict.fromkeys(row["pages"] for row in of))
        ideals = ", ".join(f"{next(r['ideal'] for r in of if r['pages'] == size):.1f} s for {size}" for size in sizes)
        rivals = dict.fromkeys(row["rival"] for row in of)
        cells = [(RIVALS[rival], *(_cell(of, rival, size) for size in sizes)) for rival in rivals]
        title = f"{name}: makespan / ideal ({ideals})"
        Section(f"makespan {name}", title, ("", *(f"{size} pages" for size in sizes)), cells).show()
    columns = ["pages", "idle slot", "client CPU", "rendering", "Prefect CPU", "requests", "events", "MB"]
    columns += ["warm-up", "other work"]
    title = (
        "ms a page (idle slot: median and 95th percentile); requests and events a page; warm-up of a loaded model, in "
        "times of a page; processors that others used"
    )
    for name in dict.fromkeys(row["setting"] for row in rows):
        cells = []
        for row in [row for row in rows if row["setting"] == name and row["ratio"]]:
            rendering, renderer = row["renderer_cpu_ms"], row["renderer_mb"]
            cells.append(
                (
                    RIVALS[row["rival"]],
                    str(row["pages"]),
                    idle_slots(row),
                    f"{row['client_cpu_ms'] + rendering:.1f}",
                    f"{rendering:.1f}" if rendering else "",
                    f"{row['prefect_cpu_ms']:.1f}" if row["rival"] in ON_PREFECT else "",
                    f"{row['prefect_requests']:.2f}" if row["rival"] in ON_PREFECT else "",
                    f"{row['prefect_events']:.2f}" if row["rival"] in ON_PREFECT else "",
                    f"{row['memory_mb']:.0f}" + (f" + {renderer:.0f}" if renderer else ""),
                    f"{row['warm_pages']:.2f}" if row.get("warm_pages") else "",
                    f"{row['others_cpu']:.2f}",
                )
            )
        Section(f"costs {name}", f"{name}: {title}", ("", *columns), cells).show()


def report(rows: list[Row]) -> None:
    """Tables and pictures."""
    show(rows)
    BUILD.mkdir(parents=True, exist_ok=True)
    for picture in draw(rows, RIVALS, BUILD):
        print(picture.relative_to(ROOT))  # noqa: T201


def _cell(rows: list[Row], rival: str, size: int) -> str:
    of = [row for row in rows if (row["rival"], row["pages"]) == (rival, size)]
    ratios = sorted(row["ratio"] for row in of if row["ratio"])
    if ratios:
        spread = f" ({ratios[0]:.3f}-{ratios[-1]:.3f})" if len(ratios) > 1 else ""
        return f"{ratios[len(ratios) // 2]:.3f}{spread}"
    return f"not run: {of[0]['not_run']}" if of else ""


def idle_slots(row: Row) -> str:
    """How long a slot that came free stayed so: the median and the 95th percentile, in ms."""
    starts = sorted(start for start, _ in row["busy"])
    ends = sorted(end for _, end in row["busy"])
    gaps = sorted((start - end) * 1000 for start, end in zip(starts[row["slots"] :], ends, strict=False))
    return f"{gaps[len(gaps) // 2]:.0f}, {gaps[len(gaps) * 95 // 100]:.0f}" if gaps else ""
