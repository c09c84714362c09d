"""Form fields whose appearance does not show their value, and XFA forms, of which only a placeholder is drawn."""

import re
from collections.abc import Iterator
from typing import Any

import pymupdf

from tasks.documents.sandbox.pdf_objects import PdfObject

_HIDDEN = 2 | 32
_PASSWORD = 1 << 13
_MULTILINE = 1 << 12
_MOST_PACKETS = 64
_CHOICES = {pymupdf.PDF_WIDGET_TYPE_COMBOBOX, pymupdf.PDF_WIDGET_TYPE_LISTBOX}
_BUTTONS = {pymupdf.PDF_WIDGET_TYPE_CHECKBOX, pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON}
_DYNAMIC = re.compile(rb"<dynamicRender>\s*required")
# The text of Adobe's placeholder and of others.
_PLACEHOLDER = re.compile(
    r"please wait|adobe (acrobat|reader)|(your|pdf|the) viewer|bitte warten|veuillez patienter|espere|attendere"
    r"|aguarde|een ogenblik",
    re.IGNORECASE,
)


class Forms:
    """A document's form, if it has one."""

    def __init__(self, pdf: pymupdf.Document) -> None:
        self._pdf = pdf
        self._fresh = self._key("AcroForm/NeedAppearances") == ("bool", "true")
        self._has_xfa = self._key("AcroForm/XFA")[0] in {"array", "xref"} and any(self._packets())
        self._dynamic = self._has_xfa and (
            self._key("NeedsRendering") == ("bool", "true") or any(map(_DYNAMIC.search, self._packets()))
        )

    def is_placeholder(self, page: pymupdf.Page) -> bool:
        """Return whether the page shows only the placeholder of an XFA form."""
        if not self._has_xfa or page.first_widget is not None:
            return False
        return self._dynamic or bool(_PLACEHOLDER.search(page.get_text()))

    def hides_xfa(self, page: pymupdf.Page) -> bool:
        """Return whether there is an XFA form that the page may not show."""
        return self._has_xfa and not self._pdf.is_form_pdf and page.first_widget is None

    def show_values(self, page: pymupdf.Page) -> bool:
        """Have MuPDF redraw the fields whose appearance does not show their value; return whether there are any."""
        if page.first_widget is None:
            return False
        words = page.get_text("words")
        shown = [self._show(widget, words) for widget in page.widgets()]  # all of them, before any()
        return any(shown)

    def _show(self, widget: pymupdf.Widget, words: list[tuple[Any, ...]]) -> bool:
        field, kind = PdfObject.numbered(self._pdf, widget.xref), widget.field_type
        if field["F"].integer & _HIDDEN:
            return False
        if kind in _BUTTONS:
            return self._fresh and self._set_state(widget, field)
        choice = kind in _CHOICES
        secret = kind == pymupdf.PDF_WIDGET_TYPE_TEXT and field.inherited("Ff").integer & _PASSWORD
        if secret or not (choice or kind == pymupdf.PDF_WIDGET_TYPE_TEXT):
            return False
        value = "\n".join(_shown(field, choice=choice))
        anew = self._fresh or not field["AP"].is_dict  # MuPDF draws its appearance
        if not _letters(value) or (anew and not choice) or (not anew and _says(words, widget.rect, value)):
            return False
        if choice:  # MuPDF would draw all options instead of the selected one
            self._set(widget.xref, FT="/Tx", Ff=str(_MULTILINE), V=pymupdf.get_pdf_str(value))
        self._set(widget.xref, AP="null")
        return True

    def _set_state(self, widget: pymupdf.Widget, field: PdfObject) -> bool:
        """Set a check box or radio button to the state of its field's value; return whether that changed it."""
        value = field.inherited("V").name
        states = (widget.button_states() or {}).get("normal") or []
        state = value if value in states else "Off"
        if not value or field["AS"].name == state:
            return False
        self._set(widget.xref, AS=f"/{state}")
        return True

    def _set(self, xref: int, **entries: str) -> None:
        for key, value in entries.items():
            self._pdf.xref_set_key(xref, key, value)

    def _key(self, key: str) -> tuple[str, str]:
        entry: tuple[str, str] = self._pdf.xref_get_key(self._pdf.pdf_catalog(), key)
        return entry

    def _packets(self) -> Iterator[bytes]:
        kind, value = self._key("AcroForm/XFA")
        references = re.findall(r"(\d+) \d+ R", value)[:_MOST_PACKETS]
        if kind == "xref" and not self._pdf.xref_is_stream(int(references[0])):  # an indirect array
            references = re.findall(r"(\d+) \d+ R", self._pdf.xref_object(int(references[0])))[:_MOST_PACKETS]
        numbers = map(int, references)
        return (self._pdf.xref_stream(number) or b"" for number in numbers if self._pdf.xref_is_stream(number))


def _shown(field: PdfObject, *, choice: bool) -> Iterator[str]:
    """Yield the visible text of a field's value: of a choice, the option's label instead of its export value."""
    value = field.inherited("V")
    texts = [item.text for item in value.items()] if value.is_array else [value.text]
    named = {}
    for option in field.inherited("Opt").items() if choice else ():
        if option.is_array and (pair := [item.text for item in option.items()]):
            named[pair[0]] = pair[-1]
    return (named.get(text, text) for text in texts)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _says(words: list[tuple[Any, ...]], rect: pymupdf.Rect, value: str) -> bool:
    """Return whether the words within a field show its value, apart from punctuation and blanks."""
    within = "".join(word[4] for word in words if rect.intersects(pymupdf.Rect(word[:4])))
    return all(_letters(line) in _letters(within) for line in value.splitlines())
