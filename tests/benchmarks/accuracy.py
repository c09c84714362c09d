"""How well the embedded server reads: character and word errors against what is known to be on the page.

`python -m tests.benchmarks.accuracy [PDF ...]` reads the sample that Hearth makes, or the PDFs given, each against its
own text layer; `scan.pdf=original.pdf` takes the text layer of another file.

Errors of characters are the edit distance over the length of the reference, white space folded; they count a different
reading order as errors. Words missing are those of the reference that are not in what was read, in any order.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pymupdf
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from tasks.backends.local.embedded import EmbeddedBackend
from tasks.documents.render import Renderer
from tasks.documents.sample import sample_pages
from tasks.ollama.client import GenerateRequest, OllamaClient
from tasks.serving.warmup import warm
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings


def folded(text: str) -> str:
    """The text as it is compared: one form of each character, quote and dash, and one space between words."""
    text = unicodedata.normalize("NFKC", text).translate({0x2019: "'", 0x2018: "'", 0x201C: '"', 0x201D: '"'})
    return " ".join(re.sub("[\u2010-\u2015]", "-", text).split())


def character_errors(read: str, reference: str) -> float:
    """Edit distance over the reference's length."""
    wanted = folded(reference)
    return Levenshtein.distance(folded(read), wanted) / max(1, len(wanted))


def words_missing(read: str, reference: str) -> float:
    """The part of the reference's words that were not read, in any order."""
    wanted = Counter(re.findall(r"\w+", folded(reference).lower()))
    return (wanted - Counter(re.findall(r"\w+", folded(read).lower()))).total() / max(1, wanted.total())


def samples() -> Iterator[tuple[str, bytes, str]]:
    """Name, PNG and text of each of Hearth's sample pages."""
    names = ("prose", "two columns", "table", "sideways", "blank", "bad copy")
    for name, (scan, text) in zip(names, sample_pages(), strict=True):
        with io.BytesIO() as buffer:
            scan.save(buffer, "PNG")
            yield name, buffer.getvalue(), text


async def pages_of(argument: str) -> list[tuple[str, bytes, str]]:
    """Name, PNG and text of each page of a PDF, as the flow renders it."""
    scan, _, original = argument.partition("=")
    with pymupdf.open(original or scan) as pdf:
        texts = [str(page.get_text()) for page in pdf]
    pages = []
    async with Renderer(Path(scan), Settings().read.longest_side, LimitSettings()) as renderer:
        for number, text in enumerate(texts, 1):
            pages.append((f"{Path(scan).name}, page {number}", (await renderer.page(number)).png, text))
    return pages


async def main(arguments: list[str]) -> None:
    """Read the pages one after another and print the table."""
    settings = Settings()
    pages = [page for argument in arguments for page in await pages_of(argument)] or list(samples())
    table = Table("page", "characters", "character errors", "words missing", "seconds")
    backend = EmbeddedBackend(settings)
    endpoint = await backend.acquire(1)
    try:
        async with OllamaClient(endpoint.url, timeout=300) as client:
            request = GenerateRequest(backend.default_model, settings.read.num_ctx, 20_000, 60)
            await warm(client, request, 1, settings.warm, require_gpu=False)
            for name, png, text in pages:
                started = time.perf_counter()
                read = (await client.generate(request, "Read.", (png,))).response
                seconds = time.perf_counter() - started
                table.add_row(
                    name,
                    str(len(folded(text))),
                    f"{character_errors(read, text):.1%}" if text.strip() else f"{len(read)} read",
                    f"{words_missing(read, text):.1%}" if text.strip() else "",
                    f"{seconds:.2f}",
                )
    finally:
        await backend.release(endpoint)
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
