"""The registration of a backend: its name, how to open and check it, and what its cloud can be asked."""

from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.backends.base import Backend
from tasks.core.finding import Findings
from tasks.core.jobs import BackendName
from tasks.costs.attribution import Piece
from tasks.settings.settings import Settings


@dataclass(frozen=True)
class CloudStatus:
    """The status of a backend's machines in its cloud.

    Attributes:
        facts: for `--json`, merged with those of other backends.
        summary: a sentence; empty if the table says everything.
        title, columns, rows: a table; it is not shown without rows.
    """

    facts: dict[str, Any]
    summary: str = ""
    title: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


Say = Callable[[str], None]
"""Shows a person a line."""
Confirm = Callable[[str], bool]
"""Asks a person a question."""


def _never(_: Settings) -> None:
    return None


def _not_configured(_: Settings) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A backend.

    Attributes:
        open: makes it.
        check: finds out what a run would need of it; starts nothing.
        offer: returns why `auto` takes it, or None. A backend that costs money offers nothing.
        is_configured: whether its section of the settings describes its cloud, so that it is asked although another
            backend is chosen.
        status: returns the status of its machines in its cloud; None if it has none.
        stop: stops those of some names, or all, and returns the names that exist; asks before it cuts off a run.
        pieces: returns the lives of its machines between two times from a ledger of its own; None if there is no such
            ledger, so that each run records what it used.
        not_billed: returns a sentence on what the records of runs lack.
        slot_per_core: whether it has a slot for each core, so that more slots never help.
    """

    name: BackendName
    open: Callable[[Settings], Backend]
    check: Callable[[Settings], Findings]
    offer: Callable[[Settings], str | None] = _never
    is_configured: Callable[[Settings], bool] = _not_configured
    status: Callable[[Settings], Coroutine[Any, Any, CloudStatus]] | None = None
    stop: Callable[[Settings, Collection[str], Say, Confirm], Coroutine[Any, Any, set[str]]] | None = None
    pieces: Callable[[Settings, datetime, datetime], Coroutine[Any, Any, list[Piece]]] | None = None
    not_billed: Callable[[], str] | None = None
    slot_per_core: bool = False
