"""The default engine: Tesseract's LSTM recogniser with its page layout analysis.

It reads pages as they lie, as models do. Hearth puts them upright before it sends them.
"""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Read when the library loads its OpenMP runtime: with one thread per reader two readers run side by
# side, while several threads per page mostly wait for one another.
os.environ["OMP_THREAD_LIMIT"] = "1"

import tesserocr
from PIL import Image

from tasks.embedded.engine import PageText, Reader
from tasks.embedded.found import lines_of
from tasks.embedded.images import decode_grey
from tasks.embedded.layout import text_of

SHARP_CONFIDENCE = 85
"""Mean word confidence, in percent, below which a page is read again at twice the size.

Small print gains a lot (7 % wrong words become none), ordinary print half a percent, for half as much
time again.
"""

RESOLUTION_DPI = 150
"""The resolution that Tesseract assumes. Without one it reads a little worse; with 300 it loses twice as
many words."""

ENLARGEABLE_PIXELS = 8_000_000
"""Larger pages are not enlarged: their print is not small."""


def engine(*weights: Path) -> Reader:
    """Load a `.traineddata` file of any name for each language of the pages, the most important first.

    Raises:
        RuntimeError: If Tesseract does not accept a file.
    """
    names = [f"page{number}" for number in range(len(weights))]
    # Tesseract finds a model by directory and language, and loads it when it is constructed.
    with tempfile.TemporaryDirectory(prefix="hearth-tessdata-") as directory:
        for name, file in zip(names, weights, strict=True):
            shutil.copyfile(file, Path(directory, f"{name}.traineddata"))
        languages, mode = "+".join(names), tesserocr.OEM.LSTM_ONLY
        api = tesserocr.PyTessBaseAPI(path=directory, lang=languages, psm=tesserocr.PSM.AUTO, oem=mode)
    api.SetVariable("debug_file", os.devnull)
    return TesseractReader(api)


@dataclass(frozen=True, slots=True)
class Reading:
    """One attempt at a page."""

    text: str
    confidence: int
    """Mean over the words, in percent; 0 without text."""


class TesseractReader:
    """A Reader around one Tesseract object, which serves one thread at a time."""

    def __init__(self, api: "tesserocr.PyTessBaseAPI") -> None:
        self._api = api

    def __call__(self, data: bytes) -> PageText:
        """Return the paragraphs of a page, separated by blank lines, with the mean confidence of its words.

        Raises:
            ImageError: If the bytes are not a readable image.
        """
        page = decode_grey(data)
        best = self._read(page)
        if best.text and best.confidence < SHARP_CONFIDENCE and page.width * page.height <= ENLARGEABLE_PIXELS:
            large = page.resize((page.width * 2, page.height * 2), Image.Resampling.LANCZOS)
            best = max(best, self._read(large), key=lambda each: each.confidence)
        return PageText(best.text, best.confidence / 100 if best.text else None)

    def _read(self, page: Image.Image) -> Reading:
        try:
            self._api.SetImageBytes(page.tobytes(), page.width, page.height, 1, page.width)
            self._api.SetSourceResolution(RESOLUTION_DPI)
            self._api.Recognize()
            text = tidy(text_of(list(lines_of(self._api.GetIterator(), page))))
            return Reading(text, self._api.MeanTextConf() if text else 0)
        finally:
            self._api.Clear()


def tidy(text: str) -> str:
    """Return the text with stripped lines, and one blank line between paragraphs."""
    lines = "\n".join(line.strip() for line in text.replace("\f", "\n").splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()
