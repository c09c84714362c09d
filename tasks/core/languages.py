"""The languages of documents, as Tesseract names them: `deu+eng`, the most important first."""

import re

_LANGUAGES = re.compile(r"[a-z]\w{1,20}(\+[a-z]\w{1,20})*", re.ASCII | re.IGNORECASE)
_LONGEST = 80
"""Characters of a model's tag, which names them."""


def check_languages(text: str | None) -> str | None:
    """Return languages without blanks; None if there are none.

    Raises:
        ValueError: they are not written as Tesseract does.
    """
    languages = "".join((text or "").split())
    if languages and (len(languages) > _LONGEST or not _LANGUAGES.fullmatch(languages)):
        raise ValueError("languages are named as Tesseract names them and joined by a plus sign, such as deu+eng")
    return languages or None
