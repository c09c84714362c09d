"""The turn that puts a page upright, by reading a few of its lines in each position.

Words are recognized with confidence in one position only. On the pages of `tests.benchmarks.scans` 43 to 97 % of the
letters are in such words where print is upright, and at most 8 % where it is not.
"""

import os
from collections.abc import Sequence

# Read when the library loads its OpenMP runtime: the process may start no threads.
os.environ["OMP_THREAD_LIMIT"] = "1"

import tesserocr
from PIL import Image, ImageChops

from tasks.scans.lines import turned
from tasks.scans.skew import level

# Pixels. Smaller print than a page of this size has is not read, larger print takes longer.
_LONGEST_SIDE = 1600
_ROWS = 0.15
_RESOLUTION_DPI = 150
# Percent, and letters: such words are hardly ever read into other marks.
_SURE, _SHORTEST = 80, 3
# Letters in sure words, in all and of all letters, that show print in its right position.
_LEAST_LETTERS, _LEAST_PART = 24, 0.25
# Times as many as there are in the position in which the page lies.
_CLEARLY_MORE = 3
_SIDEWAYS = {90, 270}


class TurnReader:
    """Finds the turn that puts a page upright.

    Args:
        directory: of Tesseract's data; its `eng` suits all languages in Latin letters for this.

    Raises:
        RuntimeError: Tesseract does not accept the data.
    """

    def __init__(self, directory: str) -> None:
        self._api = tesserocr.PyTessBaseAPI(
            path=directory, lang="eng", psm=tesserocr.PSM.SINGLE_BLOCK, oem=tesserocr.OEM.LSTM_ONLY
        )
        self._api.SetVariable("debug_file", os.devnull)

    def turn_of(self, page: Image.Image, turns: Sequence[int]) -> int:
        """Return the one of some turns, in degrees clockwise, that puts a grey page upright; 0 if none does for sure.

        Args:
            page: the image.
            turns: those that may, the likeliest first.
        """
        small = page.copy()
        small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
        lying, is_upright = self._letters(small)
        if is_upright and not set(turns) & _SIDEWAYS:  # a note in the margin may be all that is upright
            return 0
        for turn in turns:
            letters, is_sure = self._letters(turned(small, turn))
            if is_sure and letters >= _CLEARLY_MORE * lying:
                return turn
        return 0

    def _letters(self, page: Image.Image) -> tuple[int, bool]:
        """Return how many letters of some lines are in sure words, and whether these are print in its position."""
        lines = _most_print(level(page))
        try:
            self._api.SetImageBytes(lines.tobytes(), lines.width, lines.height, 1, lines.width)
            self._api.SetSourceResolution(_RESOLUTION_DPI)
            self._api.Recognize()
            if not self._api.GetUTF8Text().strip():
                return 0, False
            words = list(zip(self._api.AllWords(), self._api.AllWordConfidences(), strict=False))
        finally:
            self._api.Clear()
        every = sum(len(word) for word, _ in words)
        sure = sum(len(word) for word, confidence in words if confidence >= _SURE and _is_word(word))
        return sure, sure >= max(_LEAST_LETTERS, _LEAST_PART * every)


def _is_word(text: str) -> bool:
    return len(text) >= _SHORTEST and text.strip(".,;:()").isalpha()


def _most_print(page: Image.Image) -> Image.Image:
    """Return the rows of a page in which the lines of print are the sharpest."""
    means = page.resize((8, page.height), Image.Resampling.BOX)
    edges = ImageChops.difference(means, ImageChops.offset(means, 0, 1)).point([step**2 // 255 for step in range(256)])
    sums = edges.resize((1, page.height), Image.Resampling.BOX).tobytes()
    size = max(1, int(max(page.size) * _ROWS))
    total, best, first = sum(sums[:size]), -1, 0
    for row in range(max(1, page.height - size + 1)):
        if total > best:
            best, first = total, row
        total += (sums[row + size] if row + size < len(sums) else 0) - sums[row]
    return page.crop((0, first, page.width, min(first + size, page.height)))
