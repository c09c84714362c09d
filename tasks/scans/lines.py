"""Which way the lines of print on an image seem to run: evidence that is cheap and may be wrong.

Lines of print are dark bands between light gaps, so the means of the pixels along them vary more than those across. In
most scripts the edge of a line at its base is the sharper one, since more letters reach above the others than below.
"""

from PIL import Image, ImageChops

QUARTERS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
"""Pillow's names, which turn counterclockwise, of turns by degrees clockwise."""

SMALLEST_SIDE = 50
"""Pixels. A narrower image shows no lines of print."""

# Parts in which the means are taken: columns of text side by side, or a skew of a few degrees, then blur little.
_PARTS = 16
# Pixels of the longest side at which lines are told from letters, which are gone.
_COARSE = 320
# Mean square of the differences, of 255 squared. Less is an empty page.
_LEAST_CONTRAST = 0.5
# Sizes at which edges are compared: the grid of the pixels sharpens some of them at each, by chance.
_SIZES = (1, 2, 3)


def turned(page: Image.Image, degrees: int) -> Image.Image:
    """Return an image, turned clockwise by a multiple of 90 degrees."""
    return page.transpose(QUARTERS[degrees]) if degrees else page


def likely_turns(page: Image.Image) -> tuple[int, ...]:
    """Return the turns, in degrees clockwise, that may put a grey page upright, the likeliest first.

    There is none if it looks upright, or shows no lines of print.
    """
    if min(page.size) < SMALLEST_SIDE:
        return ()
    small = page.reduce(max(1, round(max(page.size) / _COARSE)))
    upright, sideways = (_contrast(small, rows=rows) for rows in (True, False))
    if max(upright, sideways) < _LEAST_CONTRAST:
        return ()
    if sideways > upright:
        return (90, 270) if _lean(page, rows=False) < 0 else (270, 90)
    return (180,) if _lean(page, rows=True) > 0 else ()


def _contrast(page: Image.Image, *, rows: bool) -> float:
    """Return the mean square of the edges between the means of the rows, or else of the columns."""
    means = _means(page, rows=rows)
    edges = ImageChops.difference(means, _before(means, rows=rows)).histogram()
    return sum(step * step * count for step, count in enumerate(edges)) / (means.width * means.height)


def _lean(page: Image.Image, *, rows: bool) -> float:
    """Return by how much the sharp edges to dark outweigh those to light, -1 to 1: less than 0 in upright print."""
    means = _means(page, rows=rows)
    return sum(_lean_at(means.reduce((1, size) if rows else (size, 1)), rows=rows) for size in _SIZES) / len(_SIZES)


def _lean_at(means: Image.Image, *, rows: bool) -> float:
    before = _before(means, rows=rows)
    edges = (ImageChops.subtract(*pair).histogram() for pair in ((before, means), (means, before)))
    to_dark, to_light = (sum(step**3 * count for step, count in enumerate(counts)) for counts in edges)
    return (to_dark - to_light) / max(1, to_dark + to_light)


def _means(page: Image.Image, *, rows: bool) -> Image.Image:
    """Return the means of the rows, or else of the columns, of each part of a page."""
    part = max(1, (page.width if rows else page.height) // _PARTS)
    return page.reduce((part, 1) if rows else (1, part))


def _before(means: Image.Image, *, rows: bool) -> Image.Image:
    """Return the means with those of the row, or else of the column, before in the place of each."""
    return ImageChops.offset(means, *((0, 1) if rows else (1, 0)))
