"""PDFs of one page with one form field, whose value is not what its appearance shows."""

from __future__ import annotations

from pathlib import Path

from tests.support.pdfs import assembled, stream

RECT = "[150 40 380 140]"


def _appearance(text: str) -> bytes:
    shown = f"/Tx BMC q BT 0 g /Helv 18 Tf 4 70 Td ({text}) Tj ET Q EMC" if text else "/Tx BMC EMC"
    head = "<</Type/XObject/Subtype/Form/BBox[0 0 230 100]/Resources<</Font<</Helv 3 0 R>>>>"
    return stream(shown.encode(), head.encode())


def _mark(shown: bool) -> bytes:
    drawn = b"q 5 w 10 10 m 90 90 l S 10 90 m 90 10 l S Q" if shown else b""
    return stream(drawn, b"<</Type/XObject/Subtype/Form/BBox[0 0 100 100]")


def form(path: Path, field: str, shown: str | None, *, fresh: bool = True, widget: str = "") -> Path:
    """A page that says "Tax form", and a field.

    Args:
        path: of the file.
        field: the entries of the field, its value among them.
        shown: the text of its appearance; None: it has none.
        fresh: the document says that appearances have to be made anew (NeedAppearances).
        widget: entries of the widget, which is then apart from its field.
    """
    place = f"/Type/Annot/Subtype/Widget/F 4/Rect{RECT}/P 4 0 R" + ("/AP<</N 7 0 R>>" if shown is not None else "")
    whole = f"<</T(s)/DA(/Helv 18 Tf 0 g){field}{'/Kids[8 0 R]' if widget else place}>>"
    apart = f"<</Parent 6 0 R{widget}{place}>>" if widget else "null"
    need = "/NeedAppearances true" if fresh else ""
    annotation = 8 if widget else 6
    return assembled(
        path,
        [
            f"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]/DR<</Font<</Helv 3 0 R>>>>{need}>>>>".encode(),
            b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 200]/Contents 5 0 R/Annots[{annotation} 0 R]"
            "/Resources<</Font<</F1 3 0 R>>>>>>".encode(),
            stream(b"BT /F1 20 Tf 40 160 Td (Tax form) Tj ET"),
            whole.encode(),
            _appearance(shown) if shown is not None else b"null",
            apart.encode(),
        ],
    )


def box(path: Path, kind: str, value: str, state: str, *, fresh: bool = True) -> Path:
    """A check box or a radio button whose states are Yes, a cross, and Off."""
    flags = "/Ff 32768" if kind == "radio" else ""
    field = f"<</T(s)/FT/Btn{flags}/V/{value}/AS/{state}/Type/Annot/Subtype/Widget/F 4/Rect[200 60 300 160]/P 4 0 R"
    need = "/NeedAppearances true" if fresh else ""
    return assembled(
        path,
        [
            f"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]{need}>>>>".encode(),
            b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 200]/Contents 5 0 R/Annots[6 0 R]"
            b"/Resources<</Font<</F1 3 0 R>>>>>>",
            stream(b"BT /F1 20 Tf 40 160 Td (Tax form) Tj ET"),
            f"{field}/AP<</N<</Yes 7 0 R/Off 8 0 R>>>>>>".encode(),
            _mark(True),
            _mark(False),
        ],
    )
