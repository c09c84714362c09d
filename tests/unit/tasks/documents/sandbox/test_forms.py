"""A form shows its fields' values, and a placeholder for an XFA form is not read."""

from __future__ import annotations

import io
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

from tasks.documents.sandbox.forms import Forms
from tasks.documents.sandbox.page_images import Limits, RefusedError
from tasks.documents.sandbox.page_renderer import PageRenderer
from tests.support import forms, pdfs

LIMITS = Limits(pages=10, image_megapixels=250)
STALE = "Old name"


def shown(path: Path) -> list[str]:
    """Return the drawn lines without the form's title."""
    with pymupdf.open(path) as pdf:
        page = pdf[0]
        if Forms(pdf).show_values(page):
            page = pdf.reload_page(page)
        return [line.strip() for line in page.get_text().splitlines() if line.strip() != "Tax form"]


@pytest.mark.parametrize("appearance", ["", STALE, None])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("/FT/Tx/V(Kowalczyk)", ["Kowalczyk"]),
        ("/FT/Tx/Ff 4096/V(Kowalczyk\\nAnna)", ["Kowalczyk", "Anna"]),
        ("/FT/Ch/Ff 131072/Opt[(Red)(Green)(Blue)]/V(Green)", ["Green"]),
        ("/FT/Ch/Ff 131072/Opt[[(r)(Red)][(g)(Green)]]/V(g)", ["Green"]),
        ("/FT/Ch/Opt[(Red)(Green)(Blue)]/V(Green)", ["Green"]),
        ("/FT/Ch/Ff 2097152/Opt[(Red)(Green)(Blue)]/V[(Green)(Blue)]", ["Green", "Blue"]),
    ],
)
def test_a_field_shows_its_value_whatever_its_appearance_was(tmp_path, field, value, fresh, appearance):
    assert shown(forms.form(tmp_path / "form.pdf", field, appearance, fresh=fresh)) == value


@pytest.mark.parametrize("fresh", [True, False])
def test_a_value_of_the_fields_parent_is_shown(tmp_path, fresh):
    path = forms.form(tmp_path / "form.pdf", "/FT/Tx/V(Kowalczyk)", STALE, fresh=fresh, widget="/MK<<>>")
    assert shown(path) == ["Kowalczyk"]


@pytest.mark.parametrize("appearance", ["Kowalczyk", "K o w a l c z y k", "Kowalczyk, A."])
def test_an_appearance_that_shows_the_value_is_kept(tmp_path, appearance):
    path = forms.form(tmp_path / "form.pdf", "/FT/Tx/V(Kowalczyk)", appearance, fresh=False)
    with pymupdf.open(path) as pdf:
        page = pdf[0]
        assert not Forms(pdf).show_values(page)


def test_a_password_and_an_empty_field_are_not_shown(tmp_path):
    for field in ("/FT/Tx/Ff 8192/V(secret)", "/FT/Tx/V()"):
        assert shown(forms.form(tmp_path / "form.pdf", field, "", fresh=False)) == []


def ink_of_box(path: Path) -> float:
    header, (png,) = PageRenderer(str(path), None, LIMITS).render(1, 400)
    assert header["flags"] == []
    return sum(Image.open(io.BytesIO(png)).convert("L").crop((200, 40, 300, 140)).histogram()[:128]) / 10_000


@pytest.mark.parametrize("kind", ["check", "radio"])
@pytest.mark.parametrize(("value", "state"), [("Yes", "Off"), ("Off", "Yes"), ("Yes", "Yes"), ("Off", "Off")])
def test_a_button_is_marked_by_its_value(tmp_path, kind, value, state):
    ink = ink_of_box(forms.box(tmp_path / "box.pdf", kind, value, state))
    assert (ink > 0.05) == (value == "Yes")


# XFA


def xfa(
    path: Path, text: str, *, catalog: str = "", form: str = "", packet: str = "<xdp:xdp/>", array: bool = False
) -> Path:
    """Return a page with a text and an XFA form."""
    content = pdfs.stream(f"BT /F1 18 Tf 40 200 Td ({text}) Tj ET".encode())
    packets = "[(template) 6 0 R (datasets) 6 0 R]" if array else "6 0 R"
    annotation = b"<</T(s)/FT/Tx/V(Kowalczyk)/Type/Annot/Subtype/Widget/F 4/Rect[40 40 200 60]/DA(/F1 12 Tf 0 g)>>"
    fields, annotations = ("[7 0 R]", "/Annots[7 0 R]") if form else ("[]", "")
    head = f"<</Type/Catalog/Pages 2 0 R{catalog}/AcroForm<</Fields{fields}/XFA {packets}/DR<</Font<</F1 5 0 R>>>>>>>>"
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Contents 4 0 R{annotations}"
    objects = [
        head.encode(),
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"{page}/Resources<</Font<</F1 5 0 R>>>>>>".encode(),
        content,
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        pdfs.stream(packet.encode()),
        annotation,
    ]
    return pdfs.assembled(path, objects)


DYNAMIC = "<config><acrobat7><dynamicRender>required</dynamicRender></acrobat7></config>"


@pytest.mark.parametrize(
    "options",
    [
        {"text": "Please wait...", "catalog": "/NeedsRendering true"},
        {"text": "Bitte warten"},
        {"text": "To view it you need Adobe Reader 8 or higher"},
        {"text": "Un moment", "packet": DYNAMIC},
        {"text": "Un moment", "packet": DYNAMIC, "array": True},
        {"text": "Un moment", "catalog": "/NeedsRendering true", "array": True},
    ],
)
def test_the_placeholder_of_an_xfa_form_fails(tmp_path, options):
    renderer = PageRenderer(str(xfa(tmp_path / "xfa.pdf", **options)), None, LIMITS)
    with pytest.raises(RefusedError) as caught:
        renderer.render(1, 400)
    assert caught.value.reason == "xfa"


def test_a_static_xfa_form_is_read_as_it_is_drawn(tmp_path):
    renderer = PageRenderer(str(xfa(tmp_path / "xfa.pdf", "Surname", form="yes")), None, LIMITS)
    assert renderer.render(1, 400)[0]["flags"] == []


def test_a_page_that_may_not_show_all_of_an_xfa_form_is_flagged(tmp_path):
    renderer = PageRenderer(str(xfa(tmp_path / "xfa.pdf", "Invoice 12")), None, LIMITS)
    assert [name for name, _ in renderer.render(1, 400)[0]["flags"]] == ["undecoded"]
