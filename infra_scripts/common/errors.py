"""All errors of deployments, named by the next step of the caller.

InfraError                base class                                     exit code 1
├── RequestError            correct the request; nothing was changed     exit code 2
│   └── InUseError            machines run: wait, or use force
├── AccessError             check credentials, permissions, region and network
├── StackError              the stack was not created, updated or deleted
├── BakeError               no image was created; the old one is kept
└── LeftoverError           delete what is left: it costs money
"""

from typing import ClassVar


class InfraError(Exception):
    """The base class: a message for people, and the exit code of the command line."""

    exit_code: ClassVar[int] = 1


class RequestError(InfraError):
    """The request is wrong; nothing was changed."""

    exit_code: ClassVar[int] = 2


class InUseError(RequestError):
    """Machines run, and the request does not force their end."""


class AccessError(InfraError):
    """AWS did not answer: no credentials, region, permission or connection, or too many requests."""


class StackError(InfraError):
    """The stack could not be created, updated or deleted."""


class BakeError(InfraError):
    """No image was created."""


class LeftoverError(InfraError):
    """Not everything was deleted.

    Attributes:
        left: the remaining resources, by kind and name.
    """

    def __init__(self, name: str, left: tuple[str, ...], why: str | None) -> None:
        """Name the remaining resources, and the reason if it is known."""
        remaining = f"Left: {', '.join(left)}. Delete them, or run again. " if left else ""
        super().__init__(f"{name} was not deleted completely. {remaining}{why or ''}".rstrip())
        self.left = left
