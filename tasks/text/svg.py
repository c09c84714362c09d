"""SVG charts that are legible on light and dark pages. Equal shapes give equal bytes."""

from collections.abc import Iterable
from html import escape


def framed(width: float, height: float, title: str, style: str, shapes: Iterable[str]) -> str:
    """Return shapes on a card.

    Args:
        width: of the chart, in its own units.
        height: of the chart.
        title: for screen readers.
        style: CSS of the shapes' classes, including `card`.
        shapes: as SVG.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    card = f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8" class="card"/>'
    return "\n".join([head, f"<style>{style}</style>", card, *shapes, "</svg>", ""])


def text(x: float, y: float, what: str, kind: str = "") -> str:
    """Return a text of a CSS class with its baseline at y."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(what)}</text>'


def line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    """Return a straight line of a CSS class."""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" class="{kind}"/>'
