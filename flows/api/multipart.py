"""Documents that are sent as a form (multipart/form-data): the file is streamed, the other fields are options.

Only one chunk of the body is in memory at a time, and the length of everything else is limited.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tasks.core.errors import InputError, LimitError

KIND = "multipart/form-data"
FILE = "file"
FIELDS_BYTES = 1_000_000
"""Most bytes besides the file: the other fields, headers and boundaries."""
TEXT_FILES = ("json_schema",)
"""Fields that may be files, too, such as curl -F json_schema=@invoice.json."""
_MOST_PARTS = 64


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    value: bytearray = field(default_factory=bytearray)


class FormBody:
    """The body of a request. Exhaust `file` first; then `fields` and `filename` are set.

    Args:
        content_type: the request's header, with the boundary.

    Raises:
        InputError: the header has no boundary.
    """

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise _malformed("Content-Type names no boundary")
        self.fields: list[tuple[str, str]] = []
        self.filename: str | None = None
        self._part = _Part()
        self._parts = 0
        self._has_file = False
        self._ended = False
        self._header = (bytearray(), bytearray())
        self._pieces: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": lambda: setattr(self, "_ended", True),
                },
            )
        except FormParserError:
            raise _malformed("its boundary is too long") from None

    async def file(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of the file.

        Raises:
            InputError: the form is malformed, is cut off, or has no file or several.
            LimitError: the other parts are too large.
        """
        received = passed_on = 0
        async for chunk in body:
            received += len(chunk)
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise _malformed("it does not follow its boundary") from None
            for piece in self._pieces:
                passed_on += len(piece)
                yield piece
            self._pieces.clear()
            if received - passed_on > FIELDS_BYTES:
                raise LimitError(f"The form has more than {FIELDS_BYTES // 1_000_000} MB beside its file. Shorten it.")
        if not self._ended:
            raise _malformed("it is cut off before its end")
        if not self._has_file:
            raise InputError(
                f"The form has no file. Send the document as its field {FILE!r}: curl -F {FILE}=@paper.pdf."
            )

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise InputError(f"The form has more than {_MOST_PARTS} fields. Send the file and the options.")
        self._part = _Part()

    def _end_header(self) -> None:
        name, value = map(bytes, self._header)
        self._part.headers[name.lower()] = value
        for part in self._header:
            part.clear()

    def _end_headers(self) -> None:
        options = parse_options_header(self._part.headers.get(b"content-disposition"))[1]
        self._part.name = _text(options.get(b"name", b""))
        if self._part.name != FILE:
            if b"filename" in options and self._part.name not in TEXT_FILES:
                raise InputError(
                    f"The form's field {self._part.name!r} is a file. Send the document as its field {FILE!r}."
                )
            return
        if self._has_file:
            raise InputError(f"The form has two fields {FILE!r}. Send one document at a time.")
        self._has_file = True
        if b"filename" in options:
            # Browsers encode a quotation mark like this (WHATWG, multipart/form-data encoding).
            self.filename = _text(options[b"filename"]).replace("%22", '"')

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == FILE:
            self._pieces.append(data[start:end])
        else:
            self._part.value += data[start:end]

    def _end_part(self) -> None:
        if self._part.name != FILE and self._part.value:  # an empty field counts as missing
            self.fields.append((self._part.name, _text(bytes(self._part.value))))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InputError("A field of the form is not UTF-8. Encode it as UTF-8.") from None


def _malformed(why: str) -> InputError:
    return InputError(f"The form is malformed: {why}. Send it as multipart/form-data, as curl -F does.")
