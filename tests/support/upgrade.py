"""A document whose bytes are the same wherever it is made, and results of it that an earlier version stored."""

import os
import shutil
from pathlib import Path

from tests.support.pdfs import assembled, stream

FIXTURE = Path(__file__).with_name("stored_before_profiles")
"""Results that the last version without profiles of models stored, by its own code; see its README."""
_MODIFIED_NS = 1_600_000_000_000_000_000
_SENTENCES = ("The first page was read before.", "So was the second one.", "And the third.")


def write_letter(path: Path) -> Path:
    """Write the document, with the time of change by which a batch knows it."""
    objects: list[bytes | None] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(len(_SENTENCES)))
    objects.append(f"<< /Type /Pages /Count {len(_SENTENCES)} /Kids [{kids}] >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for page, sentence in enumerate(_SENTENCES):
        resources = f"/Resources << /Font << /F 3 0 R >> >> /Contents {5 + 2 * page} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {resources} >>".encode())
        objects.append(stream(f"BT /F 24 Tf 72 700 Td ({sentence}) Tj ET".encode()))
    assembled(path, objects)
    os.utime(path, ns=(_MODIFIED_NS, _MODIFIED_NS))
    return path


def restore(directory: Path) -> Path:
    """Write the document and its stored results as if they had been made in a directory, and return the document."""
    shutil.copytree(FIXTURE, directory, dirs_exist_ok=True)
    for path in (*directory.rglob("*.json"), *directory.rglob("*.jsonl")):
        path.write_text(path.read_text().replace("{directory}", str(directory)))
    (directory / "inbox").mkdir()
    return write_letter(directory / "inbox" / "letter.pdf")
