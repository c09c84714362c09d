"""Whether a document was read right, judged from its files alone: no code of Hearth's is used."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.marks import Page


def found_in(output: Path, document: int) -> Path:
    """The directory of a document's results."""
    (directory,) = output.glob(f"document-{document:05d}-*")
    return directory


def entries_in(directory: Path) -> dict[int, dict[str, Any]]:
    """The manifest's pages by their number."""
    manifest = json.loads((directory / "manifest.json").read_text())
    return {entry["page"]: entry for entry in manifest["pages"]}


def troubles(output: Path, document: int, pages: int) -> list[str]:
    """All that is wrong with the results of a document of so many pages; nothing if every page is there once, right."""
    directories = list(output.glob(f"document-{document:05d}-*"))
    if len(directories) != 1:
        return [f"{len(directories)} directories of results"]
    try:
        return [
            *_manifest(directories[0], pages),
            *_pages(directories[0], document, pages),
            *_document(directories[0], document, pages),
            *(f"left over: {path.name}" for path in directories[0].rglob("*.tmp")),
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"cannot be read: {error!r}"]


def _manifest(directory: Path, pages: int) -> list[str]:
    manifest = json.loads((directory / "manifest.json").read_text())
    wrong = []
    if manifest["status"] != "complete":
        wrong.append(f"the manifest says {manifest['status']}")
    if [entry["page"] for entry in manifest["pages"]] != list(range(1, pages + 1)):
        wrong.append(f"the manifest has the pages {[entry['page'] for entry in manifest['pages']]} of {pages}")
    for entry in manifest["pages"]:
        reasons = [attempt["reason"] for attempt in entry["attempts"]]
        if entry["status"] != "read" or not reasons or reasons[-1] is not None or None in reasons[:-1]:
            wrong.append(f"page {entry['page']} is {entry['status']} after the attempts {reasons}")
        stored = json.loads((directory / "pages" / f"{entry['page']:04d}.json").read_text())
        different = [name for name in entry if entry[name] != stored[name]]
        if different:
            wrong.append(f"page {entry['page']} and its entry in the manifest differ in {', '.join(different)}")
    return wrong


def _pages(directory: Path, document: int, pages: int) -> list[str]:
    names = sorted(path.name for path in (directory / "pages").iterdir())
    wrong = []
    if names != [f"{number:04d}.json" for number in range(1, pages + 1)]:
        wrong.append(f"the files of pages are {names}")
    identities: Counter[str] = Counter()
    for number in range(1, pages + 1):
        stored = json.loads((directory / "pages" / f"{number:04d}.json").read_text())
        identities[stored["identity"]] += 1
        if stored["page"] != number:
            wrong.append(f"the file of page {number} says that it is page {stored['page']}")
        if stored["text"] != Page(document, number).text:
            wrong.append(f"page {number} has the text {stored['text'][:40]!r}")
    if len(identities) != pages:
        wrong.append("pages share an identity")
    return wrong


def _document(directory: Path, document: int, pages: int) -> list[str]:
    text = (directory / "document.md").read_text()
    sections = re.split(r"^<!-- page (\d+) -->$", text, flags=re.MULTILINE)
    written = [(int(number), body.strip()) for number, body in zip(sections[1::2], sections[2::2], strict=True)]
    right = [(number, Page(document, number).text) for number in range(1, pages + 1)]
    if sections[0].strip() or written != right:
        return [f"document.md has the pages {[number for number, _ in written]}, or not the right texts"]
    return []
