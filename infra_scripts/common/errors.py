"""Every error of the machines' scripts, named for what the caller does next.

InfraError                what happened, to which thing, what to do      exit code 1
├── RequestError            mend the request; nothing was changed        exit code 2
│   └── InUseError            machines run: wait, or force
├── AccessError             AWS refuses: credentials, permissions, region
├── StackError              the stack could not be brought where it should be
├── BakeError               no image was made; the old one stands
└── LeftoverError           something that costs money was left: it is named
"""

from __future__ import annotations

from typing import ClassVar


class InfraError(Exception):
    """The base of all: a message fit for a person, and the exit code of the command line."""

    exit_code: ClassVar[int] = 1


class RequestError(InfraError):
    """The request is wrong; nothing was changed."""

    exit_code: ClassVar[int] = 2


class InUseError(RequestError):
    """Machines of the pool run, and it was not said that they may be ended."""


class AccessError(InfraError):
    """AWS cannot be asked: no credentials, no region, no permission, no connection, or too many requests."""


class StackError(InfraError):
    """The stack could not be created, updated or deleted."""


class BakeError(InfraError):
    """No image was made."""


class LeftoverError(InfraError):
    """Not everything is gone.

    Attributes:
        left: what is left, by kind and name.
    """

    def __init__(self, what: str, left: tuple[str, ...], why: str | None) -> None:
        """Of what it is, and why, as far as that is known."""
        told = f"Left: {', '.join(left)}. Delete them, or run again. " if left else ""
        super().__init__(f"{what} is not wholly gone. {told}{why or ''}".rstrip())
        self.left = left
