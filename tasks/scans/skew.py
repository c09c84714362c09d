"""The skew of scans: found by the sharpness of their lines, and taken out.

The means of the rows vary most where the lines of print are level. MuPDF's `fz_detect_skew` is faster, and wrong by
more than a degree on one page in three.
"""

import math

from PIL import Image, ImageChops, ImageStat

from tasks.scans.lines import SMALLEST_SIDE
from tasks.scans.shades import commonest_shade

LARGEST_SKEW = 8.0
"""Degrees. Larger angles are intended."""

LEAST_SKEW = 0.5
"""Degrees. Tesseract reads smaller angles as well as level print."""

# Columns of the small copy whose parts are moved up and down: a fraction of a line's height, at the largest angle.
_COLUMNS = 32
_COARSE, _FINE = 0.5, 0.1
# Factor by which the lines must get sharper for an angle to be trusted.
_CLEAR_GAIN = 1.3


def skew_of(page: Image.Image) -> float:
    """Return the degrees by which a grey page has to be turned counterclockwise to be level; 0 if that is not clear."""
    if min(page.size) < SMALLEST_SIDE:
        return 0.0
    # Half as high, which is enough for half a degree.
    small = page.resize((_COLUMNS, max(1, page.height // 2)), Image.Resampling.BOX)
    unit, paper = page.width / _COLUMNS, commonest_shade(page)
    _, coarse = _sharpest(small, unit / 2, paper, 0.0, LARGEST_SKEW, _COARSE)
    rows = page.resize((_COLUMNS, page.height), Image.Resampling.BOX)
    sharpness, angle = _sharpest(rows, unit, paper, coarse, _COARSE, _FINE)
    return round(angle, 2) if sharpness > _CLEAR_GAIN * _sharpness(rows, unit, paper, 0.0) else 0.0


def _sharpest(
    rows: Image.Image, unit: float, paper: int, middle: float, reach: float, step: float
) -> tuple[float, float]:
    """Return the largest sharpness, and its angle, of those around a middle."""
    count = round(reach / step)
    angles = (middle + step * at for at in range(-count, count + 1))
    return max((_sharpness(rows, unit, paper, angle), angle) for angle in angles)


def _sharpness(rows: Image.Image, unit: float, paper: int, angle: float) -> float:
    """Return the sum of the squared edges between rows, once the columns are moved as a turn by an angle does.

    Args:
        rows: means of the rows in columns.
        unit: distance of two columns, in rows.
        paper: shade of the paper.
        angle: degrees counterclockwise.
    """
    slope = math.tan(math.radians(angle)) * unit
    matrix = (1, 0, 0, slope, 1, -slope * (rows.width - 1) / 2)
    moved = rows.transform(rows.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=paper)
    means = moved.resize((1, rows.height), Image.Resampling.BOX)
    return float(ImageStat.Stat(ImageChops.difference(means, ImageChops.offset(means, 0, 1))).sum2[0])


def level(page: Image.Image, least: float = LEAST_SKEW) -> Image.Image:
    """Return a grey page without its skew, if that is at least so many degrees; it grows by what is turned in."""
    angle = skew_of(page)
    if abs(angle) < least:
        return page
    return page.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=commonest_shade(page))
