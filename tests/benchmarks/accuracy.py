"""How well pages are read: errors against what is known to be on them, and checks of single facts.

`python -m tests.benchmarks.accuracy [--checks FILE.jsonl] [--backend NAME] [--text-layer NAME] [PDF ...]` reads PDFs as
`hearth read` does, on any backend; without one, the sample that Hearth makes, or the PDFs that the checks name, which
lie beside their file. `scan.pdf=original.pdf` compares with the text layer of another file.

Errors of characters are the edit distance over the length of the reference, white space folded; they count a different
reading order as errors. Words missing are those of the reference that are not in what was read, in any order. The
checks are in olmOCR-bench's format: `tests.benchmarks.page_checks`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymupdf
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from tasks.core.errors import HearthError
from tasks.documents.sample import sample_pages, write_sample
from tests.benchmarks.page_checks import Check, load_checks

SAMPLE_CHECKS = Path(__file__).with_name("sample_checks.jsonl")
REAL_CHECKS = Path(__file__).with_name("real_checks.jsonl")
"""Of real documents, which are not part of the project."""


@dataclass(frozen=True)
class ReadPage:
    """A page that was read.

    Attributes:
        text: what was read; empty for a page that failed.
        seconds: that it took.
    """

    text: str
    seconds: float


_RULE = re.compile(r"^\|(?: *-{3,} *\|)+$", re.MULTILINE)


def folded(text: str) -> str:
    """Return the text as it is compared: one form of each character, quote and dash, one space between words.

    The marks of Markdown's tables are left out: they are not on the page.
    """
    text = "\n".join(line.replace("|", " ") if line[:1] == "|" else line for line in _RULE.sub("", text).split("\n"))
    text = unicodedata.normalize("NFKC", text).translate({0x2019: "'", 0x2018: "'", 0x201C: '"', 0x201D: '"'})
    return " ".join(re.sub("[\u2010-\u2015]", "-", text).split())


def character_errors(read: str, reference: str) -> float:
    """Return the edit distance over the reference's length."""
    wanted = folded(reference)
    return Levenshtein.distance(folded(read), wanted) / max(1, len(wanted))


def words_missing(read: str, reference: str) -> float:
    """Return the part of the reference's words that were not read, in any order."""
    wanted = Counter(re.findall(r"\w+", folded(reference).lower()))
    return (wanted - Counter(re.findall(r"\w+", folded(read).lower()))).total() / max(1, wanted.total())


def read_pdfs(paths: Sequence[Path], output: Path, options: Sequence[str]) -> Mapping[str, dict[int, ReadPage]]:
    """Read PDFs with `hearth read`; return their pages by number, by the PDF's name.

    Raises:
        HearthError: nothing could be read; the command has said why.
    """
    command = (sys.executable, "-m", "flows.cli.main", "read", "--json", "--output", str(output), *options)
    done = subprocess.run([*command, *map(str, paths)], stdout=subprocess.PIPE, text=True, check=False)
    outcomes: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not outcomes:
        raise HearthError("Nothing was read.")
    return {path.name: _pages(Path(outcome["output"])) for path, outcome in zip(paths, outcomes, strict=False)}


def _pages(directory: Path) -> dict[int, ReadPage]:
    pages = {}
    for path in sorted((directory / "pages").glob("*.json")):
        page = json.loads(path.read_text())
        seconds = sum(attempt["seconds"] for attempt in page.get("attempts", ()))
        pages[int(page["page"])] = ReadPage(page.get("text") or "", seconds)
    return pages


def errors_table(pages: Mapping[str, Mapping[int, ReadPage]], references: Mapping[str, Sequence[str]]) -> Table:
    """Return the errors of each page against its reference."""
    table = Table("page", "characters", "character errors", "words missing", "seconds")
    for name, read in pages.items():
        for number, reference in enumerate(references.get(name, ()), 1):
            page = read.get(number, ReadPage("", 0.0))
            has_text = bool(reference.strip())
            table.add_row(
                f"{name}, {number}",
                str(len(folded(reference))),
                f"{character_errors(page.text, reference):.1%}" if has_text else f"{len(page.text)} read",
                f"{words_missing(page.text, reference):.1%}" if has_text else "",
                f"{page.seconds:.2f}",
            )
    return table


def score(
    checks: Sequence[Check], pages: Mapping[str, Mapping[int, ReadPage]]
) -> tuple[dict[str, list[bool]], list[str]]:
    """Return the outcome of each check by its kind, and the ids of those that failed."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    failed = []
    for check in checks:
        page = pages.get(Path(check.pdf).name, {}).get(check.page, ReadPage("", 0.0))
        passed = check.passes(page.text)
        outcomes[str(getattr(check, "type", ""))].append(passed)
        if not passed:
            failed.append(check.id)
    return dict(outcomes), failed


def score_table(outcomes: Mapping[str, Sequence[bool]]) -> Table:
    """Return the score of each kind of check, and their mean, as olmOCR-bench has it."""
    table = Table("check", "passed", "of", "score")
    shares = []
    for kind, passed in sorted(outcomes.items()):
        shares.append(sum(passed) / len(passed))
        table.add_row(kind, str(sum(passed)), str(len(passed)), f"{shares[-1]:.1%}")
    table.add_row("mean", "", "", f"{sum(shares) / max(1, len(shares)):.1%}")
    return table


def main(arguments: Sequence[str]) -> None:
    """Read the pages and print the tables."""
    parser = argparse.ArgumentParser(prog="accuracy", description=__doc__.partition("\n")[0])
    parser.add_argument("--checks", type=Path, help="checks in olmOCR-bench's format, a JSON object a line")
    parser.add_argument("--backend", default="embedded")
    parser.add_argument("--model")
    parser.add_argument(
        "--text-layer", choices=("never", "auto", "always"), default="never", help="as hearth read has it"
    )
    parser.add_argument("pdfs", nargs="*", metavar="PDF", help="a PDF, or scan.pdf=original.pdf")
    asked = parser.parse_args(arguments)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="hearth-accuracy-") as work:
        references: dict[str, list[str]] = {}
        checks = load_checks(asked.checks) if asked.checks else []
        paths = []
        for argument in asked.pdfs:
            scan, _, original = argument.partition("=")
            with pymupdf.open(original or scan) as pdf:
                references[Path(scan).name] = [str(page.get_text()) for page in pdf]
            paths.append(Path(scan))
        if checks and not paths:
            paths = [asked.checks.parent / name for name in dict.fromkeys(check.pdf for check in checks)]
        elif not paths:
            sample = Path(work) / "sample.pdf"
            write_sample(sample)
            references[sample.name] = [text for _, text in sample_pages()]
            paths, checks = [sample], load_checks(SAMPLE_CHECKS)
        options = [
            "--backend",
            asked.backend,
            "--text-layer",
            asked.text_layer,
            *(("--model", asked.model) if asked.model else ()),
        ]
        pages = read_pdfs(paths, Path(work) / "results", options)
    if references:
        console.print(errors_table(pages, references))
    if checks:
        outcomes, failed = score(checks, pages)
        console.print(score_table(outcomes))
        if failed:
            console.print(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HearthError as error:
        sys.exit(str(error))
