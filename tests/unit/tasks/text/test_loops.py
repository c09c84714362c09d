"""What is a loop at the end of a model's text, what pages really repeat, and what looking for it costs."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.loops import LoopDetector, find_loop
from tests.support.cases import cases_or_skip

SHARED = Path(__file__).resolve().parents[5] / "shared" / "pdfs"
PAGE = "# Annual report\n\nThe year was a good one for all who took part in it, as the next table shows.\n\n"
TOKENS = 4096


def cut_at(text: str, piece: int = 4) -> int | None:
    """After how many characters a text that is written piece by piece is found to loop."""
    detector = LoopDetector()
    for place in range(0, len(text), piece):
        if detector.add(text[place : place + piece]):
            return place + piece
    return None


# Loops

HAN = "".join(chr(0x4E00 + number) for number in range(2000))
LOOPS = {
    "a word": "jumps " * 2000,
    "words": "the same words again and " * 400,
    "a line": "The quick brown fox jumps over the lazy dog.\n" * 200,
    "a list": "- A thing that is said again and again\n" * 300,
    "200 characters": HAN[:200] * 40,
    "2,000 characters": HAN * 8,
    "a paragraph": ("It was a dark and stormy night; the rain fell in torrents. " * 3 + "Then it stopped.\n\n") * 30,
    "a counter": " ".join(map(str, range(1, 3000))),
    "a counter of lines": "".join(f"{number}.\n" for number in range(1, 3000)),
    "a counter with words": "".join(f"Item {number}: see above\n" for number in range(1, 800)),
    "a counter of rows": "".join(f"| {number} | 0.00 | |\n" for number in range(1, 800)),
    "a counter by tens": " ".join(map(str, range(0, 30_000, 10))),
    "zeros": "0" * 4000,
    "zeros apart": "0 " * 2000,
    "amounts": "0.00 " * 2000,
    "pipes": "| |" * 1500,
    "rows": "| | |\n" * 1200,
    "exclamation marks": " !" * 2000,
    "dots": "." * 8000,
    "blanks": " " * 4000,
    "blank lines": "\n" * 4000,
    "rows of HTML": "<tr><td>0</td><td>0</td></tr>" * 600,
    "rows of words": "| a | b |\n" * 500,
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_is_cut_while_it_is_written(loop):
    cut = cut_at(PAGE + loop)
    assert cut is not None
    assert cut < len(PAGE + loop)


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_is_found_with_its_start(loop):
    found = find_loop(PAGE + loop)
    assert found is not None
    assert found.start < len(PAGE) + found.size + 10
    assert found.turns > 4


@pytest.mark.parametrize("unit", ["1 ", " !", "| |", " fox18 jumps19", "0", "zero 0.00\n", HAN[:30]])
def test_a_loop_that_a_limit_cut_off_is_told_by_less(unit):
    """A page's answer that ends there has hardly come to an end of its own."""
    text = " the0 quick1 brown2 fox3 jumps4" + unit * max(23, 200 // len(unit))
    assert find_loop(text, cut=True)


def test_numbered_words_that_a_limit_cut_off_are_no_loop_yet():
    assert not find_loop("".join(f" word{number}" for number in range(50)), cut=True)


units = st.text(st.characters(categories=["L", "P"], exclude_characters="|_.-·…"), min_size=1, max_size=200).filter(
    lambda unit: any(map(str.isalpha, unit))
)


@given(st.text(max_size=300), units, st.integers(0, 199))
def test_any_words_8_times_and_240_characters_long_are_a_loop_wherever_it_is_cut(before, unit, part):
    turns = max(9, -(-240 // len(unit)) + 1)
    assert find_loop(before + unit * turns + unit[: part % len(unit)])


# What pages repeat

PAGES = {
    "a dot leader": "Contents " + "." * 800,
    "a page of leaders": (". " * 55 + "\n") * 60,
    "a spaced leader": "Chapter one " + ". " * 400 + "12",
    "leaders": "".join(f"Chapter {number} {'.' * 100} {number}\n" for number in range(1, 90)),
    "rulers of a table": "| a | b |\n" + "|---|---|\n" * 100,
    "a rule": "-" * 1000,
    "a line to write on": "Name: " + "_ " * 500,
    "lines to sign": "Name ______________ Signature ______________\n" * 40,
    "an empty form": "| | | |\n" * 200,
    "blank lines": "\n" * 1000,
    "a column of zeros": "0.00\n" * 300,
    "a column of amounts": "EUR 0.00\n" * 90,
    "rows of figures": "| 17 | 0.00 | -4,50 |\n" * 100,
    "rows of words": "| closed | closed | closed | closed | closed | closed |\n" * 60,
    "rows of HTML": "<tr><td>0</td><td>0</td><td>no</td></tr>" * 90,
    "boxes": "☐ " * 400,
    "questions": "☐ Yes ☐ No\n" * 90,
    "answers": "yes\n" * 90,
    "labels": "ACME Corp\n12 Main St\nSpringfield\n" * 30,
    "laughter": "ha" * 110,
    "numbered lines": "".join(f"{number}.\n" for number in range(1, 61)),
    "an answer sheet": "".join(f"{number}  A  B  C  D\n" for number in range(1, 151)),
    "a hundred chart": " ".join(map(str, range(1, 101))),
    "years": "\n".join(map(str, range(1850, 2027))),
    "copies of a slip": ("Pay to the order of Ms. Example the sum of ten. " * 5 + "\n\n") * 4,
}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_what_pages_really_repeat_is_no_loop_at_any_moment(text):
    assert cut_at(PAGE + text, piece=1) is None
    assert find_loop(PAGE + text) is None


cells = st.sampled_from(["", "-", "0", "0.00", "1,234.56", "17", "yes", "no", "n/a", "EUR", "closed", "—"])


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A table whose rows are alike more often than not, as Markdown, HTML or columns."""
    columns = draw(st.integers(1, 6))
    kinds = draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1, max_size=3))
    rows = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=80))
    form = draw(st.sampled_from(["markdown", "html", "tabs", "column"]))
    if form == "html":
        return "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    if form == "column":
        return "".join(f"{row[0]}\n" for row in rows)
    return "".join(("\t".join(row) if form == "tabs" else f"| {' | '.join(row)} |") + "\n" for row in rows)


@given(tables())
def test_tables_are_no_loops(table):
    assert cut_at(PAGE + table, piece=7) is None
    assert find_loop(PAGE + table) is None


@given(st.integers(20, 140), st.sampled_from([".", " .", "·", "…", "_", " -"]), st.integers(1, 60))
def test_dot_leaders_are_no_loops(width, leader, lines):
    text = "".join(f"{number}. {leader * (width // len(leader))} {number * 3}\n" for number in range(1, lines + 1))
    assert cut_at(PAGE + text) is None


@given(st.lists(st.decimals(-9999, 9999, places=2), min_size=1, max_size=4), st.integers(1, 90))
def test_columns_of_figures_are_no_loops(figures, lines):
    text = "".join("   ".join(map(str, figures)) + "\n" for _ in range(lines))
    assert cut_at(PAGE + text) is None


@given(st.text(st.sampled_from("0 1\n|"), max_size=600), st.booleans())
def test_whatever_the_text_the_search_comes_to_an_end(text, cut):
    found = find_loop(text, cut=cut)
    assert found is None or 0 <= found.start <= len(text) - found.size


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=12), unique=True, max_size=200))
def test_words_that_all_differ_are_no_loop(words):
    assert find_loop(" ".join(words)) is None


@pytest.mark.parametrize("path", cases_or_skip(sorted(SHARED.glob("*.pdf")), lambda path: path.name, SHARED))
def test_the_text_of_real_pages_is_no_loop(path):
    with pymupdf.open(path) as pdf:
        for page in pdf:
            for text in (page.get_text(), page.get_text("html", flags=0)):
                assert cut_at(text[: 8 * TOKENS], piece=9) is None
                assert find_loop(text) is None


# Cost


def seconds(text: str) -> float:
    began = time.thread_time()
    assert cut_at(text) is None
    return time.thread_time() - began


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"w{random.Random(1).random()}{number * 7919 % 1009}" for number in range(12_000)),
        "".join(f"Chapter {number * 7919 % 1009} {'.' * 100} {number * 31 % 97}\n" for number in range(1500)),
    ],
    ids=["words and figures", "leaders"],
)
def test_looking_costs_no_more_for_each_character_of_a_longer_text(text):
    text = text[:160_000]
    quarter = min(seconds(text[:40_000]) for _ in range(3))
    assert min(seconds(text) for _ in range(3)) < 4 * 2.5 * quarter
