"""A drop-in engine that reads what is marked on a page, and notes which page it was asked for when."""

import os
import time
from pathlib import Path

from tasks.embedded.engine import Reader
from tests.faults.marks import page_on


def marked(_: Path) -> Reader:
    """The right text of the page after ENGINE_SECONDS; its document, number and the time go to ENGINE_LOG first."""
    seconds = float(os.environ.get("ENGINE_SECONDS", "0"))
    log = os.open(os.environ.get("ENGINE_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def read(image: bytes) -> str:
        page = page_on(image)
        if page is not None:
            os.write(log, f"{page.document} {page.number} {time.time():.3f}\n".encode())
        time.sleep(seconds)
        return page.text if page else "No page of ours."

    return read
