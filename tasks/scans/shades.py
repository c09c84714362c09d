"""Shades of grey pages."""

from PIL import Image


def commonest_shade(page: Image.Image) -> int:
    """Return the shade of the paper of a grey page."""
    counts = page.histogram()
    return counts.index(max(counts))
