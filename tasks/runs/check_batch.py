"""Check a batch as a whole before anything is started or paid for."""

from pathlib import Path

from tasks.batches.batch import Batch, find_documents
from tasks.batches.shards import FOLDER
from tasks.core.errors import InputError
from tasks.runs.setup import choose_setup
from tasks.settings.settings import Settings
from tasks.storage.files import files_at


def check_batch(batch: Batch, settings: Settings) -> None:
    """Refuse a batch, with its output block resolved, of which no document could be read.

    Raises:
        InputError: a source or a setting is missing, options contradict each other, or the results cannot be written.
    """
    if why := missing_inbox(batch, settings):
        raise InputError(why)
    for _ in find_documents(sources_of(batch, settings)):
        pass
    choose_setup(batch, settings)
    files_at(batch.directory(settings)).prepare(FOLDER)


def sources_of(batch: Batch, settings: Settings) -> tuple[str, ...]:
    """Return the sources that a batch names, or else the inbox."""
    return batch.sources or (str(settings.inbox),)


def missing_inbox(batch: Batch, settings: Settings) -> str:
    """Return why a batch has neither sources nor an inbox; empty if it has."""
    inbox = settings.inbox
    if batch.part or batch.sources or not isinstance(inbox, Path) or inbox.exists():
        return ""
    return f"The inbox {inbox} does not exist. Create it, set HEARTH_INBOX, or name the batch's sources."
