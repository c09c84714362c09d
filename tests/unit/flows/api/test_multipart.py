"""Documents in a form: the file is streamed, the other fields are kept, and both are limited."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.api.multipart import FormBody
from flows.api.uploads import safe_filename
from tasks.core.errors import InputError, LimitError

BOUNDARY = "XX"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"

Part = tuple[str, bytes]
PDF: Part = ('name="file"; filename="a.pdf"', b"%PDF-1.7")


def _form(*parts: Part, end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(_part(*part) for part in parts) + end


def _part(disposition: str, content: bytes) -> bytes:
    return f"--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


async def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def _read(body: bytes, size: int = 7, content_type: str = CONTENT_TYPE) -> tuple[bytes, FormBody]:
    form = FormBody(content_type)
    return b"".join([piece async for piece in form.file(_pieces(body, size))]), form


@given(st.binary(max_size=60), st.integers(1, 40))
async def test_a_file_is_unchanged_however_the_body_is_split(content: bytes, size: int):
    content = content.replace(b"--XX", b"")
    file, form = await _read(_form(('name="pages"', b"1-3"), (PDF[0], content), ('name="slots"', b"2")), size)
    assert (file, form.fields, form.filename) == (content, [("pages", "1-3"), ("slots", "2")], "a.pdf")


@pytest.mark.parametrize("lookalike", [b"\r\n--X", b"\r\n-", b"\r\r\n--XY", b"--XX"])
async def test_data_that_resembles_a_boundary_belongs_to_the_file(lookalike: bytes):
    assert (await _read(_form((PDF[0], lookalike * 50 + b"."))))[0] == lookalike * 50 + b"."


async def test_the_form_of_a_client_library_is_parsed():
    request = httpx.Request("POST", "http://a", files={"file": ("Bücher „1“.pdf", b"%PDF-")}, data={"prompt": "ä"})
    file, form = await _read(request.read(), content_type=request.headers["Content-Type"])
    assert (file, form.fields, form.filename) == (b"%PDF-", [("prompt", "ä")], "Bücher „1“.pdf")


async def test_a_quotation_mark_in_a_name_is_parsed_as_browsers_and_curl_write_it():
    for written in ("a%22b.pdf", 'a\\"b.pdf'):
        _, form = await _read(_form((f'name="file"; filename="{written}"', b"")))
        assert form.filename == 'a"b.pdf'


async def test_an_empty_field_counts_as_missing():
    assert (await _read(_form(PDF, ('name="pages"', b""))))[1].fields == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "cut off"),
        (_form(PDF, end=b""), "cut off"),
        (_form(PDF)[:60], "cut off"),
        (b"%PDF-1.7 as it is", "does not follow its boundary"),
        (_form(('name="pages"', b"1")), "has no file"),
        (_form(PDF, PDF), "two fields 'file'"),
        (_form(('name="document"; filename="a.pdf"', b"%PDF-")), "'document' is a file"),
        (_form(PDF, ('name="prompt"', b"\xff")), "is not UTF-8"),
        (_form(PDF, *[('name="pages"', b"1")] * 100), "more than 64 fields"),
        (_form(("x" * 10_000, b"")), "does not follow its boundary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_malformed_form_is_refused_with_the_reason(body: bytes, told: str):
    with pytest.raises(InputError, match=told):
        await _read(body, 1000)


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 300}"])
async def test_a_form_without_a_usable_boundary_is_refused(content_type: str):
    with pytest.raises(InputError, match="boundary"):
        FormBody(content_type)


@pytest.mark.parametrize(
    "body",
    [_form(PDF, ('name="prompt"', b"x" * 2_000_000)), _form(PDF) + b"x" * 2_000_000],
    ids=["a field", "what comes after the end"],
)
async def test_everything_besides_the_file_is_limited(body: bytes):
    with pytest.raises(LimitError, match="1 MB beside its file"):
        await _read(body, 65_536)


async def test_a_large_file_is_not_held_in_memory():
    async def body() -> AsyncIterator[bytes]:
        yield _form((PDF[0], b""), end=b"")[:-2]
        for _ in range(800):
            yield b"x" * 65_536
        yield b"\r\n--XX--\r\n"

    tracemalloc.start()
    size = sum([len(piece) async for piece in FormBody(CONTENT_TYPE).file(body())])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (size, most < 1_000_000) == (800 * 65_536, True), most


NAMES: Sequence[tuple[str | None, str | None]] = [
    ("paper.pdf", "paper.pdf"),
    ("paper.PDF", "paper.pdf"),
    ("paper", "paper.pdf"),
    ("paper.docx", "paper.docx.pdf"),
    ("../../etc/passwd", "passwd.pdf"),
    ("C:\\papers\\a.pdf", "a.pdf"),
    (".hidden.pdf", "hidden.pdf"),
    ("Bu\u0308cher.pdf", "Bücher.pdf"),
    ("a\nb\u202e.pdf", "anbu202e.pdf"),
    ("x" * 400 + ".pdf", "x" * 180 + ".pdf"),
    *((nothing, None) for nothing in (None, "", ".pdf", "..", "/", ". .")),
]


@pytest.mark.parametrize(("sent", "kept"), NAMES, ids=repr)
def test_a_file_name_becomes_a_valid_one(sent: str | None, kept: str | None):
    assert safe_filename(sent) == kept


@given(st.text(st.characters(codec=None), max_size=300))
def test_a_kept_name_is_short_visible_and_stable(sent: str):
    kept = safe_filename(sent)
    if kept is not None:
        assert len(kept.encode()) <= 184
        assert not {"/", "\\", "\0", "\n"} & set(kept)
        assert not kept.startswith(".")
        assert safe_filename(kept) == kept
