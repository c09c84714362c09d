"""Foreign text made safe to show: characters that would move a cursor, hide text or reorder it are escaped."""

import logging
import re
from typing import Any

# C0 but for tab and newline, DEL and C1; marks and overrides of direction; line separators; halves of a character.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0001-\U000e007f]"
)
_HIDDEN_IN_LINE = re.compile(f"[\t\n]|{_HIDDEN.pattern}")


def escape_controls(text: str) -> str:
    r"""Return text with its control characters written out, such as \x1b. Tabs and line ends stay."""
    return _HIDDEN.sub(_escape, text.replace("\r\n", "\n"))


def escape_line(text: str) -> str:
    """Return text as `escape_controls` does, but on one line."""
    return _HIDDEN_IN_LINE.sub(_escape, text)


def escape_surrogates(text: str) -> str:
    """Return text that is valid UTF-8: surrogates, which stand for undecodable bytes of a file name, are escaped."""
    return text.encode(errors="backslashreplace").decode()


class EscapedRecord(logging.LogRecord):
    """A log record whose message and traceback are escaped."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever the logging module passes
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0] is not None:
            self.exc_text = escape_controls(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:  # noqa: N802 - the logging module's
        """Return the escaped message."""
        return escape_controls(super().getMessage())


def escape_logs() -> None:
    """Escape all log records of this process. Safe to call twice."""
    logging.setLogRecordFactory(EscapedRecord)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
