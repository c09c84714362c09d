"""Turning a page so that its lines run level, whatever way it lay on the glass.

Seen from the side, level lines of print are dark bands between light gaps: the page's row means jump
up and down. Of all angles, the one that makes them jump the most is the right one. Whether the print
is upright or upside down does not show; that is left to the reading.
"""

from PIL import Image, ImageChops, ImageStat

THUMBNAIL = 360
"""Longest side, in pixels, of the copy that is tried at all angles: lines of print are still apart."""

LARGEST_SKEW = 8
"""Degrees. Further round, pages are no accident."""

SMALLEST_SKEW = 0.5
"""Degrees. Tesseract reads what is less askew as well as level print."""

SMALLEST_SIDE = 50
"""Pixels. What is narrower is left alone: it shows no lines of print."""

CLEAR_GAIN = 1.3
"""How much sharper the lines must get for a turn to be worth trusting."""


def straighten(page: Image.Image) -> Image.Image:
    """Give the page, in grey, with level lines: upright or upside down."""
    return level(page.transpose(Image.Transpose.ROTATE_90) if looks_sideways(page) else page)


def looks_sideways(page: Image.Image) -> bool:
    """Whether the page seems to lie on its side; a line or two may seem so, too, and stand upright."""
    if min(page.size) < SMALLEST_SIDE:
        return False
    paper, small = commonest_grey(page), _thumbnail(page)
    upended, stands = (_coarse(view, paper) for view in (small.transpose(Image.Transpose.ROTATE_90), small))
    return upended[0] > stands[0] * CLEAR_GAIN


def level(page: Image.Image) -> Image.Image:
    """Turn the page by the few degrees that it is askew."""
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
    """The grey of the paper."""
    counts = page.histogram()
    return counts.index(max(counts))


def _coarse(small: Image.Image, paper: int) -> tuple[float, int]:
    angles = range(-LARGEST_SKEW, LARGEST_SKEW + 1)
    return max((_sharpness(small, angle, paper), angle) for angle in angles)


def _sharpness(small: Image.Image, angle: float, paper: int) -> float:
    """Sum of the squared differences between neighbouring row means, at an angle in degrees."""
    turned = small.rotate(angle, Image.Resampling.BILINEAR, fillcolor=paper) if angle else small
    rows = turned.resize((1, small.height), Image.Resampling.BOX)
    return float(ImageStat.Stat(ImageChops.difference(rows, ImageChops.offset(rows, 0, 1))).sum2[0])
