"""PDFs of figures without rules, and of prose in columns. Every maker returns the path that it was given."""

from __future__ import annotations

from pathlib import Path

import pymupdf

from tests.support.layers import made, prose_on


def accounts(path: Path) -> Path:
    """Prose, and accounts without rules: with signs of a currency far from their figures, and with leaders."""

    def draw(page: pymupdf.Page) -> None:
        prose_on(page, (60, 60, 535, 300))
        for column, day in enumerate(("Jan 26, 2025", "Jan 28, 2024", "Jan 29, 2023")):
            page.insert_text((260 + 90 * column, 400), day, fontsize=10)
        page.insert_text((262, 414), "(In millions)", fontsize=10)
        figures = (("178", "141", "138"), ("3,423", "2,532", "1,892"), ("4,737", "3,549", "2,710"))
        for row, (name, values) in enumerate(zip(("Cost of revenue", "Research", "Total"), figures, strict=True)):
            y = 430 + 14 * row
            page.insert_text((60, y), name, fontsize=10)
            for dot in range(20):
                page.insert_text((140 + 5 * dot, y), ".", fontsize=10)
            for column, value in enumerate(values):
                if row != 1:
                    page.insert_text((262 + 90 * column, y), "$", fontsize=10)
                page.insert_text(
                    (315 + 90 * column - pymupdf.get_text_length(value, fontsize=10), y), value, fontsize=10
                )

    return made(path, draw)


def three_columns(path: Path) -> Path:
    """Prose in three columns whose lines stand side by side."""

    def draw(page: pymupdf.Page) -> None:
        names = ("first", "second", "third")
        for column, name in enumerate(names):
            lines = ["The stone keeps the heat"] * 12
            lines[0] = f"Here begins the {name} column." if column else lines[0]
            lines[-1] = f"The {name} column ends here."
            for line, text in enumerate(lines):
                page.insert_text((40 + 180 * column, 80 + 14 * line), text, fontsize=10)

    return made(path, draw)
