"""Every error of Hearth's, named for what the caller does next.

    HearthError
    ├── InputError            mend the request                      exit code 2
    │   ├── DocumentError       the PDF cannot be used
    │   │   ├── IncompleteError   it is not whole, or written to just now
    │   │   └── HostileError      to open it takes what no honest one takes
    │   ├── PasswordError       it is encrypted, and the password is missing or wrong
    │   ├── LimitError          it is larger than the limits allow
    │   └── OutputError         the results cannot be written where they should go
    ├── UnavailableError      no machine or no model: give up       exit code 1
    │   ├── ServerError         the server does not start or answer
    │   │   └── MachineLostError  its machine went away: go on with another
    │   ├── ModelError          the model cannot be had or cannot be loaded
    │   ├── CapacityError       the cloud has no such machine just now
    │   ├── BudgetSpentError    what may be spent today is spent
    │   ├── RendererError       the process that renders pages does not start
    │   └── CloudError          the cloud refuses, or cannot be reached
    ├── StorageError          a result cannot be stored: stop       exit code 1
    ├── AllFailedError        every page, or document, has failed   exit code 3
    ├── TransientError        the server could not just now: send the request again
    │   ├── NoResponseError       not a word came back in time
    │   └── ServerFaultError      the server answered an error of its own: alike twice, it will not pass
    └── PageError             this answer is no good: read the page again, hotter

`TransientError` and `PageError` end inside the run, as retries and as reasons in the
manifest. The others reach the person, as one line: what happened, to which thing, what to do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from tasks.core.escaping import escape_surrogates


class FailureReason(StrEnum):
    """Why an attempt at a page failed."""

    TRUNCATED = "truncated"
    """The model was still writing when it reached num_predict or num_ctx."""
    EMPTY = "empty"
    """The model answered nothing although the page has ink."""
    REPETITION = "repetition"
    """The answer ends in a loop of the same words."""
    RENDER = "render"
    """The page could not be turned into an image."""
    DAMAGED = "damaged"
    """Nothing that is on the page can be decoded."""
    SIZE = "size"
    """The page, or a picture on it, is larger than the limits allow."""
    ILLEGIBLE = "illegible"
    """No image of the page can be made on which its text could be read."""
    HOSTILE = "hostile"
    """The document took too much to open, or so many of its pages took too much that no more are tried."""
    XFA = "xfa"
    """Its content is an XFA form, of which only a placeholder is drawn."""
    DECLINED = "declined"
    """The model answered that it will not read the page."""
    FLAGGED = "flagged"
    """It was read, but flagged, and the run is strict."""
    UNANSWERED = "unanswered"
    """The server failed at this page until the deadline, though it is otherwise well."""
    REFUSED = "refused"
    """The server refused this page's request, or answered what is not an answer."""
    UNAVAILABLE = "unavailable"
    """The server could not answer just then: busy, out of memory, out of reach, or a broken answer; asked again."""
    SLOW = "slow"
    """It took far longer than other pages, and another server answered first."""
    INTERRUPTED = "interrupted"
    """The machine went away, or the run was stopped, while the page was read."""


class HearthError(Exception):
    """The base of all: a message fit for a person, and the exit code of the command line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(escape_surrogates(message))


class InputError(HearthError):
    """The request is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class DocumentError(InputError):
    """The file is missing, not a PDF, empty, damaged, or has no pages."""


class IncompleteError(DocumentError):
    """The file is not whole: empty, cut off, damaged, or just being written to."""


class HostileError(DocumentError):
    """To open the file takes more time or memory than any honest one does, or crashes the process that opens it."""

    reason: ClassVar[FailureReason] = FailureReason.HOSTILE


class PasswordError(InputError):
    """The PDF is encrypted and no password, or a wrong one, was given."""


class LimitError(InputError):
    """The PDF is over a limit on size or pages."""


class OutputError(InputError):
    """The output directory cannot be created, read or written."""


class UnavailableError(HearthError):
    """No machine or no model is to be had; trying again at once will not help."""


class ServerError(UnavailableError):
    """The server cannot be started, or did not answer before its deadline.

    Attributes:
        what: the message without the remedy, for those who go on without the server.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".rstrip())
        self.what = message


class MachineLostError(ServerError):
    """The machine under the server is going or has gone; the pages that are left can be read on another."""


class ModelError(UnavailableError):
    """The model does not exist, cannot be loaded by this server, or does not fit."""


class CapacityError(UnavailableError):
    """The cloud has no machine of the kinds that may be used, or only dearer ones, just now."""


class BudgetSpentError(UnavailableError):
    """What may be spent on machines today is spent: none is taken."""


class RendererError(UnavailableError):
    """The process that opens documents and renders pages does not start on this machine."""


class CloudError(UnavailableError):
    """The cloud refuses (a permission, a quota, a missing stack), or cannot be reached.

    Attributes:
        code: the cloud's own word for it, such as UnauthorizedOperation; empty if it did not answer.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class AllFailedError(HearthError):
    """The run has finished, but every page of the document, or every document of the batch, has failed.

    Attributes:
        result: what the run would otherwise have returned, in the process that read.
    """

    exit_code = 3
    result: object = None


class StorageError(HearthError):
    """A result could not be stored (no room, or the directory went away): pages must stop being read."""


class TransientError(HearthError):
    """The server could not answer just now: unreachable, busy, out of memory, or a broken answer.

    Attributes:
        retry_after: seconds that the server asks to be left alone for; 0 if it does not.
    """

    retry_after: float = 0.0


class NoResponseError(TransientError):
    """Nothing came back in time: no answer, and no refusal either."""


class ServerFaultError(TransientError):
    """The server answered an error of its own, such as HTTP 500. One that comes back alike will not pass.

    Attributes:
        words: the server's, without the address.
    """

    def __init__(self, message: str, words: str) -> None:
        super().__init__(message)
        self.words = words


class PageError(HearthError):
    """An attempt at a page gave no good answer.

    Attributes:
        reason: which kind of failure it was.
        final: reading the page again cannot help.
    """

    def __init__(self, reason: FailureReason, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.final = final
