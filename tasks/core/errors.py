"""Hearth's errors, named for what the caller does next.

    HearthError
    ├── InputError            correct the request                   exit code 2
    │   ├── DocumentError       the document cannot be used
    │   │   ├── IncompleteError   it is cut off, damaged, or still being written
    │   │   └── HostileError      opening it exceeds every honest limit
    │   ├── PasswordError       the PDF is encrypted, and the password is missing or wrong
    │   ├── LimitError          the document exceeds a limit
    │   ├── LanguageError       there is no trained data for a language of the documents
    │   └── OutputError         the results cannot be written to their directory
    ├── UnavailableError      no machine or no model: give up       exit code 1
    │   ├── ServerError         the server does not start or respond
    │   │   └── MachineLostError  its machine went away: continue on another
    │   ├── ModelError          the model cannot be pulled or loaded
    │   │   ├── NotOfferedError   the server cannot download it either
    │   │   └── SchemaRefusedError  the server cannot answer by the JSON Schema
    │   ├── CapacityError       the cloud has no such machine now
    │   ├── BudgetSpentError    the day's budget is spent
    │   ├── RendererError       the process that renders pages does not start
    │   └── CloudError          the cloud refuses, or is out of reach
    ├── StorageError          a result cannot be stored: stop       exit code 1
    ├── AllFailedError        every page, or document, has failed   exit code 3
    ├── TransientError        the server failed for now: send the request again
    │   ├── NoResponseError     no response came in time
    │   ├── UnreadableError     the response is not of the API that was asked
    │   └── ServerFaultError    the server failed internally: permanent if it repeats
    └── PageError             the answer is unusable: read the page again at a higher temperature

`TransientError` and `PageError` end inside the run, as retries and as reasons in the manifest. The others reach the
person as one line: what happened, to which thing, what to do.
"""

from enum import StrEnum
from typing import ClassVar

from tasks.core.escaping import escape_surrogates


class FailureReason(StrEnum):
    """Why an attempt at a page failed."""

    TRUNCATED = "truncated"
    """The model was still writing when it reached num_predict or num_ctx."""
    EMPTY = "empty"
    """The answer is empty although the page has ink."""
    REPETITION = "repetition"
    """The answer ends in a loop of the same words."""
    RENDER = "render"
    """The page could not be turned into an image."""
    DAMAGED = "damaged"
    """Nothing on the page can be decoded."""
    SIZE = "size"
    """The page, or a picture on it, exceeds a limit."""
    ILLEGIBLE = "illegible"
    """No image of the page could show its text in a readable size."""
    HOSTILE = "hostile"
    """The document exceeds every honest limit, or so many of its pages do that no more are tried."""
    XFA = "xfa"
    """The content is an XFA form, of which a PDF draws only a placeholder."""
    INVALID = "invalid"
    """The answer is not JSON, or does not follow the requested JSON Schema."""
    DECLINED = "declined"
    """The model answered that it will not read the page."""
    FLAGGED = "flagged"
    """The page was read but flagged, and the run is strict."""
    UNANSWERED = "unanswered"
    """The server failed at this page until the deadline, although it reads others."""
    REFUSED = "refused"
    """The server refused the request, or sent something that is not an answer."""
    UNAVAILABLE = "unavailable"
    """The server was busy, out of memory or out of reach, or broke its answer off; the request was sent again."""
    SLOW = "slow"
    """The page took far longer than others, and another server answered first."""
    INTERRUPTED = "interrupted"
    """The machine went away, or the run was stopped, while the page was read."""


class HearthError(Exception):
    """The base class: a message for people, and the exit code of the command line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(escape_surrogates(message))


class InputError(HearthError):
    """The request is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class DocumentError(InputError):
    """The file is missing, of no kind that is read, or has no pages."""


class IncompleteError(DocumentError):
    """The file is empty, cut off, damaged, or still being written."""


class HostileError(DocumentError):
    """Opening the file takes more time or memory than any honest file does, or crashes the process."""

    reason: ClassVar[FailureReason] = FailureReason.HOSTILE


class PasswordError(InputError):
    """The PDF is encrypted, and the password is missing or wrong."""


class LimitError(InputError):
    """The document exceeds a limit on size or pages."""


class LanguageError(InputError):
    """There is no trained data for a language of the documents."""


class OutputError(InputError):
    """The output directory cannot be created, read or written."""


class UnavailableError(HearthError):
    """There is no machine or no model, and trying again at once will not help."""


class ServerError(UnavailableError):
    """The server cannot be started, or did not respond before its deadline.

    Attributes:
        what: the message without the remedy, for a run that goes on without the server.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".rstrip())
        self.what = message


class MachineLostError(ServerError):
    """The server's machine is going or has gone; another can read the remaining pages."""


class ModelError(UnavailableError):
    """The model does not exist, does not fit, or cannot be loaded by this server."""


class NotOfferedError(ModelError):
    """The server does not have the model, and cannot download it."""


class SchemaRefusedError(ModelError):
    """The server does not accept the JSON Schema of the answers."""


class CapacityError(UnavailableError):
    """The cloud has no machine of the permitted kinds now, or only more expensive ones."""


class BudgetSpentError(UnavailableError):
    """The day's budget for machines is spent."""


class RendererError(UnavailableError):
    """The process that opens documents and renders pages does not start on this machine."""


class CloudError(UnavailableError):
    """The cloud refuses (a permission, a quota, a missing stack), or is out of reach.

    Attributes:
        code: the cloud's error code, such as UnauthorizedOperation; empty if there was no response.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class AllFailedError(HearthError):
    """The run has finished, but every page of the document, or every document of the batch, has failed.

    Attributes:
        result: the run's result, within the process that read.
    """

    exit_code = 3
    result: object = None


class StorageError(HearthError):
    """A result could not be stored (no space, or the directory is gone): stop reading."""


class TransientError(HearthError):
    """The server failed for now: it was busy, out of memory or out of reach, or broke its answer off.

    Attributes:
        retry_after: seconds after which the server wants to be asked again; 0 if it does not say.
    """

    retry_after: float = 0.0


class NoResponseError(TransientError):
    """No response came in time."""


class UnreadableError(TransientError):
    """The response is not of the API that was asked, such as a web page."""


class ServerFaultError(TransientError):
    """The server failed internally, such as HTTP 500. One that repeats is permanent.

    Attributes:
        words: the server's message, without the address.
    """

    def __init__(self, message: str, words: str) -> None:
        super().__init__(message)
        self.words = words


class PageError(HearthError):
    """An attempt at a page gave no usable answer.

    Attributes:
        final: reading the page again cannot help.
    """

    def __init__(self, reason: FailureReason, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.final = final
