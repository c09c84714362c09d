"""`hearth sample`: write a PDF to try Hearth with."""

from pathlib import Path
from typing import Annotated

import typer


def sample(path: Annotated[Path, typer.Argument(metavar="FILE.pdf", help="File to write.")]) -> None:
    """Write a small scanned PDF to try Hearth with."""
    from tasks.documents.sample import write_sample

    path.parent.mkdir(parents=True, exist_ok=True)
    write_sample(path)
