"""Check whether a run could store its results, and Hearth its own files."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from tasks.core.errors import CloudError
from tasks.core.finding import Finding, Findings, State
from tasks.core.paths import StoragePath
from tasks.settings.settings import Settings
from tasks.storage import s3_client

_LITTLE_BYTES = 100_000_000


async def check_output(settings: Settings) -> Findings:
    """Check whether results can be written. In S3, the bucket is only listed."""
    yield await asyncio.to_thread(_writable, settings.output, "HEARTH_OUTPUT")


async def check_home(settings: Settings) -> Findings:
    """Check whether Hearth's own files can be written."""
    yield await asyncio.to_thread(_writable, settings.home, "HEARTH_HOME")


def _writable(place: StoragePath, setting: str) -> Finding:
    if not isinstance(place, Path):
        try:
            next(s3_client.list_objects(place, most=1), None)
        except CloudError as error:
            return Finding(State.MISSING, f"{place} cannot be reached: {s3_client.advice(error)}.")
        return Finding(State.OK, f"{place} can be reached. Writing to it was not tried.")
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"hearth")
    except OSError as error:
        why = f"{place} cannot be written to: {error.strerror}."
        return Finding(State.MISSING, why, f"Choose another place ({setting}), or let this user write there.")
    if (free := shutil.disk_usage(there).free) < _LITTLE_BYTES:
        why = f"{place} can be written to, but has {free / 1_000_000:.0f} MB free."
        return Finding(State.MISSING, why, f"Make room, or choose another place ({setting}).")
    return Finding(State.OK, f"{place} can be written to.")
