"""Straightening of scans: quarter turns and small angles.

Level lines of print are dark bands between light gaps, so the means of the pixel rows vary. The right
angle is the one at which they vary most. It does not show whether the print is upside down; the
confidence of the reading does.
"""

from PIL import Image, ImageChops, ImageStat

THUMBNAIL = 360
"""Longest side, in pixels, of the copy that is tried at all angles; its lines of print are still separate."""

LARGEST_SKEW = 8
"""Degrees. Larger angles are intended."""

SMALLEST_SKEW = 0.5
"""Degrees. Tesseract reads smaller angles as well as level print."""

SMALLEST_SIDE = 50
"""Pixels. A narrower image shows no lines of print and stays as it is."""

CLEAR_GAIN = 1.3
"""Factor by which the lines must get sharper for a turn to be trusted."""


def looks_sideways(page: Image.Image) -> bool:
    """Return whether a grey page seems to lie on its side; an upright page with a line or two may seem so, too."""
    if min(page.size) < SMALLEST_SIDE:
        return False
    paper, small = commonest_grey(page), _thumbnail(page)
    upended, stands = (_coarse(view, paper) for view in (small.transpose(Image.Transpose.ROTATE_90), small))
    return upended[0] > stands[0] * CLEAR_GAIN


def level(page: Image.Image) -> Image.Image:
    """Return the page, turned by the few degrees of its skew."""
    if min(page.size) < SMALLEST_SIDE:
        return page
    paper, small = commonest_grey(page), _thumbnail(page)
    coarse = _coarse(small, paper)[1]
    sharpest, angle = max((_sharpness(small, coarse + step / 4, paper), coarse + step / 4) for step in range(-3, 4))
    if abs(angle) < SMALLEST_SKEW or sharpest <= CLEAR_GAIN * _sharpness(small, 0, paper):
        return page
    return page.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)


def _thumbnail(page: Image.Image) -> Image.Image:
    small = page.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return small


def commonest_grey(page: Image.Image) -> int:
    """Return the grey of the paper."""
    counts = page.histogram()
    return counts.index(max(counts))


def _coarse(small: Image.Image, paper: int) -> tuple[float, int]:
    angles = range(-LARGEST_SKEW, LARGEST_SKEW + 1)
    return max((_sharpness(small, angle, paper), angle) for angle in angles)


def _sharpness(small: Image.Image, angle: float, paper: int) -> float:
    """Return the sum of the squared differences between neighbouring row means, at an angle in degrees."""
    turned = small.rotate(angle, Image.Resampling.BILINEAR, fillcolor=paper) if angle else small
    rows = turned.resize((1, small.height), Image.Resampling.BOX)
    return float(ImageStat.Stat(ImageChops.difference(rows, ImageChops.offset(rows, 0, 1))).sum2[0])
