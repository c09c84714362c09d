"""MuPDF, which prints nothing."""

from __future__ import annotations

import pytest

from tasks.documents.sandbox import mupdf_messages


@pytest.fixture(autouse=True)
def quiet_mupdf() -> None:
    mupdf_messages.quiet()
