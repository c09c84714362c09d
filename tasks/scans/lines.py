"""Which way the lines of print on an image seem to run: evidence that is cheap and may be wrong.

Lines of print are dark bands between light gaps, so the means of the pixels along them vary more than those across. In
most scripts more reaches above the band of a line than below it: capitals, figures and seven small letters, against
five.
"""

from itertools import groupby

from PIL import Image, ImageChops

from tasks.scans.shades import commonest_shade

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
# Rows of pixels of a line, and the shade by which a row with ink differs from paper in the mean.
_LINE, _INK = range(6, 81), 2
# The part of the darkest row's ink that rows of the band have.
_BAND = 0.3
# By how much more must reach below the lines than above, -1 to 1. Prose has 0.05 to 0.8 to one side or the other.
_LEAST_OVERHANG = 0.03


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
        return (90, 270) if _overhang(page, rows=False) < 0 else (270, 90)
    return (180,) if _overhang(page, rows=True) > _LEAST_OVERHANG else ()


def _contrast(page: Image.Image, *, rows: bool) -> float:
    """Return the mean square of the edges between the means of the rows, or else of the columns."""
    means = _means(page, rows=rows)
    edges = ImageChops.difference(means, _before(means, rows=rows)).histogram()
    return sum(step * step * count for step, count in enumerate(edges)) / (means.width * means.height)


def _overhang(page: Image.Image, *, rows: bool) -> float:
    """Return by how much the ink below the bands of lines outweighs that above, -1 to 1: less than 0 in upright print.

    Of columns, the right side of a line is below.
    """
    means = _means(page, rows=rows)
    means = means if rows else means.transpose(Image.Transpose.TRANSPOSE)
    paper, above, below = commonest_shade(means), 0, 0
    shades = means.tobytes()
    for part in range(means.width):
        ink = (paper - shade for shade in shades[part :: means.width])
        for is_line, run in groupby(ink, key=lambda row: row > _INK):
            line = list(run)
            if is_line and len(line) in _LINE:
                band = [at for at, row in enumerate(line) if row >= _BAND * max(line)]
                above += sum(line[: band[0]])
                below += sum(line[band[-1] + 1 :])
    return (below - above) / max(1, below + above)


def _means(page: Image.Image, *, rows: bool) -> Image.Image:
    """Return the means of the rows, or else of the columns, of each part of a page."""
    part = max(1, (page.width if rows else page.height) // _PARTS)
    return page.reduce((part, 1) if rows else (1, part))


def _before(means: Image.Image, *, rows: bool) -> Image.Image:
    """Return the means with those of the row, or else of the column, before in the place of each."""
    return ImageChops.offset(means, *((0, 1) if rows else (1, 0)))
