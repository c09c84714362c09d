"""The text layer of a page, as Markdown, with the figures by which it is judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import pymupdf

from tasks.documents.sandbox.layer.ink import Glance, PrintedLine, Word, pictures, share_within
from tasks.documents.sandbox.layer.lines import Box, Line, cleaned, lines_of, upright
from tasks.documents.sandbox.layer.markdown import markdown
from tasks.documents.sandbox.layer.tables import Table, outlines, rules_of, tables_in
from tasks.documents.sandbox.page_images import LARGEST_POINTS, sentence_of
from tasks.documents.sandbox.page_renderer import PageRenderer
from tasks.documents.wire import MOST_LAYER_BYTES

_MOST_CHARACTERS = 200_000
_MOST_WORDS = 20_000
# A picture that may hold print: its part of the page.
_LARGE = 0.02
_LEAST_RULES = 3
_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_CLIP | pymupdf.TEXT_COLLECT_VECTORS


def read_layer(renderer: PageRenderer, number: int) -> tuple[dict[str, Any], bytes]:
    """Return the figures and the text of the layer of a page, counted from 1, with its flags.

    Raises:
        RefusedError: the page cannot be drawn.
    """
    page, flags = renderer.prepared(number)
    figures, text = layer_of(page)
    if damages := renderer.damages(page):
        flags.append(("damaged", f"Part of it could not be decoded: {sentence_of(damages)}."))
    return {**figures, "flags": flags}, text


def layer_of(page: pymupdf.Page) -> tuple[dict[str, Any], bytes]:
    """Return the figures of a page's text layer, and its text in UTF-8. Annotations and form fields are part of it."""
    width, height = page.rect.width, page.rect.height
    if page.rect.is_empty or page.rect.is_infinite or max(width, height) > LARGEST_POINTS:
        raise ValueError("it has no usable area")
    drawn = page.get_displaylist()
    written = pymupdf.TextPage(drawn.get_textpage(_FLAGS))
    written.parent = page
    blocks = written.extractDICT()["blocks"]
    words: list[Word] = written.extractWORDS()[:_MOST_WORDS]
    lines = lines_of(blocks, width, height, _MOST_CHARACTERS)
    printed = [PrintedLine.of(list(line)) for _, line in groupby(words, itemgetter(5, 6))]
    turned = partial(upright, direction=lines.direction, width=width, height=height)
    standing = cache(partial(_standing, words, turned))
    tables = _tables(blocks, standing, turned)
    text = markdown(lines.upright, lines.turned, tables, standing).encode("utf-8", "replace")
    glance = Glance(drawn, width, height)
    images = [box for box in pictures(drawn) if _area(_clipped(box, width, height)) >= _LARGE * width * height]
    characters = sum(len(word[4]) for word in words)
    figures = {
        "size": min(len(text), MOST_LAYER_BYTES),
        "truncated": lines.truncated or len(text) > MOST_LAYER_BYTES or len(words) == _MOST_WORDS,
        "blank": glance.is_blank and not words,
        "characters": characters,
        "hidden": lines.hidden,
        "tiny": lines.tiny,
        "vertical": lines.vertical,
        "turned": sum(len(line.text.replace(" ", "")) for line in lines.turned),
        "without_ink": glance.without_ink(printed),
        "unexplained": glance.unexplained(printed),
        "over_pictures": share_within(words, images),
        "pictures": min(1.0, sum(_area(_clipped(box, width, height)) for box in images) / (width * height)),
        "fonts": lines.fonts,
    }
    return figures, text[:MOST_LAYER_BYTES]


def _standing(words: list[Word], turned: Callable[[Box], Box]) -> list[Line]:
    """Return words as lines of the upright page."""
    boxes = ((turned(word[:4]), cleaned(word[4]).strip()) for word in words)
    return [Line(*box, text, box[3] - box[1]) for box, text in boxes if text]


def _tables(blocks: list[dict[str, Any]], words: Callable[[], list[Line]], turned: Callable[[Box], Box]) -> list[Table]:
    across, down = rules_of([(turned(box), outline) for box, outline in outlines(blocks)])
    if len(across) < _LEAST_RULES or len(down) < _LEAST_RULES:
        return []
    return tables_in(across, down, words())


def _clipped(box: Box, width: float, height: float) -> Box:
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
