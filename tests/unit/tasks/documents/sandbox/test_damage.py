"""Undecodable parts fail or are flagged, with MuPDF's message; sound pages are neither."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pymupdf
import pytest

from tasks.documents.sandbox import mupdf_messages
from tasks.documents.sandbox.page_images import Limits, RefusedError
from tasks.documents.sandbox.page_renderer import PageRenderer
from tests.support import damaged, pdfs
from tests.support.cases import cases_or_skip

SHARED = Path(__file__).parents[5].parent / "shared"
PDFS = SHARED / "pdfs"
LIMITS = Limits(pages=1000, image_megapixels=250)
CODINGS = sorted(damaged.pictures())
# A progressive JPEG has zeros of its own, and MuPDF says nothing of a hole in one.
UNSEEN = {("progressive", "holed")}


def verdict(path: Path, number: int = 2) -> str:
    """Return the outcome of a page: the reason of its failure, its flags, "blank" or "clean"."""
    try:
        header, _ = PageRenderer(str(path), None, LIMITS).render(number, 400)
    except RefusedError as error:
        return error.reason
    flags = ",".join(name for name, _ in header["flags"])
    return flags or ("clean" if any(image["ink"] for image in header["images"]) else "blank")


def beside(path: Path) -> list[str]:
    """Return the outcomes of the pages before and after the middle one."""
    renderer = PageRenderer(str(path), None, LIMITS)
    with pytest.raises(RefusedError):
        renderer.render(2, 400)
    return [str(renderer.render(number, 400)[0]["flags"]) for number in (1, 3)]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["cut", "zeroed", "holed", "scrambled"])
def test_damaged_instructions_are_not_a_blank_page(tmp_path, name, packed):
    assert verdict(damaged.written(tmp_path / "text.pdf", damaged.DAMAGES[name], packed=packed)) == "damaged"


@pytest.mark.parametrize("name", sorted(damaged.DAMAGES))
@pytest.mark.parametrize("coding", CODINGS)
def test_a_damaged_picture_is_not_a_blank_page(tmp_path, coding, name):
    expected = "clean" if (coding, name) in UNSEEN else "damaged"
    assert verdict(damaged.pictured(tmp_path / "scan.pdf", coding, damaged.DAMAGES[name])) == expected


@pytest.mark.parametrize("coding", CODINGS)
def test_a_sound_picture_is_clean(tmp_path, coding):
    assert verdict(damaged.pictured(tmp_path / "scan.pdf", coding)) == "clean"


def _stream(content: bytes) -> bytes:
    return pdfs.stream(content)


SHOWN = _stream(b"400 0 0 300 0 0 cm /I Do")


@pytest.mark.parametrize(
    "made",
    [
        lambda path: damaged.document(path, None),
        lambda path: damaged.document(path, b"<</Kind/NoStream>>"),
        lambda path: damaged.document(path, SHOWN, ""),
        lambda path: damaged.document(path, SHOWN, "/XObject<</I 99 0 R>>"),
        lambda path: damaged.document(path, SHOWN, "/XObject<</I 11 0 R>>", b"<<>>"),
        lambda path: damaged.document(path, _stream(damaged.text_of()), page=b""),
        lambda path: damaged.document(path, _stream(damaged.text_of()), page=b"42"),
        lambda path: damaged.document(path, _stream(damaged.text_of()), page=b"<</Type/Font>>"),
    ],
)
def test_a_missing_page_fails_and_the_others_are_rendered(tmp_path, made: Callable[[Path], Path]):
    path = made(tmp_path / "missing.pdf")
    assert verdict(path) == "damaged"
    assert beside(path) == ["[]", "[]"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda path: damaged.document(path, _stream(damaged.text_of())), "clean"),
        (lambda path: damaged.document(path, _stream(damaged.text_of()), ""), "clean"),
        (lambda path: damaged.document(path, _stream(damaged.text_of()), "/Font<</F1 99 0 R>>"), "clean"),
        (lambda path: damaged.document(path, _stream(b"")), "blank"),
        (
            lambda path: damaged.document(
                path, None, page=b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Resources<<>>>>"
            ),
            "blank",
        ),
    ],
)
def test_a_missing_font_or_content_is_not_damage(tmp_path, made: Callable[[Path], Path], expected):
    assert verdict(made(tmp_path / "sound.pdf")) == expected


def test_a_partly_damaged_page_is_rendered_and_flagged_with_mupdfs_message(tmp_path):
    """The header of a page whose picture is missing can still be read."""
    content = _stream(damaged.text_of() + b"400 0 0 300 0 0 cm /I Do")
    path = damaged.document(tmp_path / "half.pdf", content)
    header, _ = PageRenderer(str(path), None, LIMITS).render(2, 400)
    ((name, told),) = header["flags"]
    assert name == "damaged"
    assert "cannot find XObject resource 'I'" in told


def test_a_damaged_picture_on_two_pages_is_damaged_on_both(tmp_path):
    """MuPDF caches decoded objects, and reports nothing the second time."""
    entries, data = damaged.pictures()["flate"]
    picture = pdfs.stream(damaged.cut(data), f"<<{entries}".encode())
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Contents 5 0 R/Resources<</XObject<</I 6 0 R>>>>>>"
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>", page, page]
    path = pdfs.assembled(tmp_path / "twice.pdf", [*objects, SHOWN, picture])
    renderer = PageRenderer(str(path), None, LIMITS)
    assert [renderer.render(number, 400)[0]["flags"][0][0] for number in (1, 2)] == ["damaged", "damaged"]


def test_a_message_about_one_page_is_not_reported_for_the_next(tmp_path):
    path = damaged.written(tmp_path / "text.pdf", damaged.cut)
    assert beside(path) == ["[]", "[]"]


def test_a_lone_repetition_belongs_to_the_page_before(monkeypatch):
    monkeypatch.setattr(pymupdf.TOOLS, "mupdf_warnings", lambda: "... repeated 7 times...")
    assert mupdf_messages.damages() == []


def test_messages_with_text_of_a_document_are_printable_and_short(monkeypatch):
    monkeypatch.setattr(pymupdf.TOOLS, "mupdf_warnings", lambda: "unknown keyword '\x1b]0;\udcb4'" + "x" * 9999)
    (told,) = mupdf_messages.damages()
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= 160


# The cases given


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("bad_flate", "damaged"),
        ("contents_not_stream", "damaged"),
        ("content_garbage", "damaged"),
        ("bad_jpeg", "damaged"),
        ("image_missing", "damaged"),
        ("cut_flate", "damaged"),
        ("font_missing", "clean"),
        ("good_jpeg", "clean"),
        ("cmap_unknown", "clean"),
    ],
)
def test_damage_is_recognized(case, expected):
    assert verdict(SHARED / "cases" / f"{case}.pdf") == expected


@pytest.mark.parametrize("path", cases_or_skip(sorted(PDFS.glob("*.pdf")), lambda path: path.stem, PDFS))
def test_sound_documents_get_no_flags(path):
    assert verdict(path, 1) in {"clean", "blank"}


def test_a_sound_document_that_is_encrypted_is_clean(tmp_path):
    path = damaged.pictured(tmp_path / "scan.pdf", "flate")
    with pymupdf.open(path) as pdf:
        pdf.save(tmp_path / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", deflate=True)
    header, _ = PageRenderer(str(tmp_path / "locked.pdf"), "secret", LIMITS).render(2, 400)
    assert header["flags"] == []


def test_an_indirect_filter_is_found(tmp_path):
    even = zlib.compress(damaged.text_of() + b" " * 200_000)
    path = damaged.document(
        tmp_path / "far.pdf",
        pdfs.stream(even, b"<</Filter 11 0 R"),
        "/Font<</F1 3 0 R>>",
        b"/FlateDecode",
    )
    assert bytes(64) in even
    assert verdict(path) == "clean"


@pytest.mark.parametrize(
    ("begins", "ends"), [(b"5 0 obj", b"endobj"), (b"8 0 obj", b"endobj"), (b"BT /F1 20", b"ET\n")]
)
def test_a_hole_in_the_file_is_not_a_blank_page(tmp_path, begins, ends):
    """The middle page, its content or its picture is zeros."""
    path = damaged.document(tmp_path / "hole.pdf", _stream(damaged.text_of()))
    whole = path.read_bytes()
    first = whole.index(begins)
    last = whole.index(ends, first) + len(ends)
    path.write_bytes(whole[:first] + bytes(last - first) + whole[last:])
    assert verdict(path) == "damaged"
    assert beside(path) == ["[]", "[]"]
