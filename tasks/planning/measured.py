"""Measurements of `hearth infra smoke`: a small file for each machine and model, which plans prefer to assumptions.

A file can be shared: it holds numbers, AWS's and the model's names, and a date, but no account, address, pool name or
text.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tasks.core.jobs import Frozen
from tasks.costs.assumptions import Assumptions, Range
from tasks.storage.files import files_at

_FOLDER = "measured"
_MAX_FILES = 200
_MAX_BYTES = 10_000
_SECONDS = Field(ge=0, le=86_400)


class Measurement(Frozen):
    """A measurement of one machine that read one page.

    Attributes:
        hearth: version of Hearth.
        baked: whether it booted from an image with Ollama and the model on it.
        boot_seconds: time from the request for the machine to the server's first response.
        load_seconds: time from there until the model was warm.
        page_seconds: time of the page, alone on the machine.
        slots: pages that it was set up to serve at once; a single page does not show them.
        gpu_memory_gib: GPU memory of the model and all its slots; None if it uses none.
        usd: highest possible cost of the whole trial.
    """

    schema_version: Literal[1] = 1
    hearth: str = Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")
    day: date
    stack: Literal["ec2", "ecs", "sagemaker"]
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    instance_type: str = Field(pattern=r"^(ml\.)?[a-z0-9-]+\.[a-z0-9-]+$", max_length=40)
    market: Literal["spot", "on-demand"]
    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")
    num_ctx: int = Field(ge=1)
    baked: bool
    boot_seconds: float = _SECONDS
    load_seconds: float = _SECONDS
    page_seconds: float = _SECONDS
    slots: int = Field(ge=1, le=256)
    gpu_memory_gib: float | None = Field(None, ge=0, le=10_000)
    usd: float = Field(ge=0)

    @property
    def machine(self) -> str:
        """The instance type without SageMaker's prefix."""
        return self.instance_type.removeprefix("ml.")

    @property
    def file(self) -> str:
        """The file name; a newer measurement of the same kind replaces the file."""
        image = "-baked" if self.baked else ""
        return f"{self.stack}-{self.instance_type}{image}-{re.sub(r'[^A-Za-z0-9._-]', '_', self.model)}.json"


def save_measurement(measurement: Measurement, home: Path) -> Path:
    """Write a measurement where plans look for it, and return the file's path."""
    files = files_at(home / _FOLDER)
    files.mkdir()
    files.write(measurement.file, [measurement.model_dump_json(indent=1), "\n"])
    return home / _FOLDER / measurement.file


def load_measurements(home: Path, machine: str, model: str) -> tuple[Measurement, ...]:
    """Return the measurements of a machine with a model, the newest first. Invalid files are ignored."""
    found = [each for each in _all(home) if (each.machine, each.model) == (machine.removeprefix("ml."), model)]
    return tuple(sorted(found, key=lambda each: each.day, reverse=True))


def _all(home: Path) -> Iterator[Measurement]:
    for path in sorted((home / _FOLDER).glob("*.json"))[:_MAX_FILES]:
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_BYTES + 1)
            if len(text) <= _MAX_BYTES:
                yield Measurement.model_validate_json(text)
        except (OSError, ValidationError):
            continue


def apply_measurements(given: Assumptions, found: tuple[Measurement, ...]) -> tuple[Assumptions, tuple[str, ...]]:
    """Replace assumptions with measurements, and return them with a sentence about each measurement.

    One measurement says nothing about the spread of times: ranges keep their assumed width, in proportion.
    """
    if not found:
        return given, ()
    newest = found[0]
    changed: dict[str, object] = {
        "page_seconds": _around(given.page_seconds, newest.page_seconds),
        "page_seconds_slots": 1,
        "load_seconds": _around(given.load_seconds, newest.load_seconds),
        "slots": newest.slots,
    }
    if newest.gpu_memory_gib:
        cache = given.kv_kib_per_token * newest.num_ctx * newest.slots / 2**20
        changed["weights_gib"] = max(0.1, newest.gpu_memory_gib - cache)
    notes = [
        f"Page, load, slots and GPU memory: measured by `hearth infra smoke {newest.stack}` on {newest.instance_type} "
        f"with {newest.model} on {newest.day}."
    ]
    for stack, name in {"ec2": "boot_seconds", "ecs": "task_seconds", "sagemaker": "sagemaker_seconds"}.items():
        one = next((each for each in found if each.stack == stack and (each.baked or stack != "ec2")), None)
        if one is not None:
            # The measured boot includes the machine's.
            seconds = one.boot_seconds - (given.boot_seconds.typical if stack == "ecs" else 0)
            changed[name] = _around(getattr(given, name), max(0.0, seconds))
            notes.append(f"Boot on {stack}: {one.boot_seconds:.0f} s, measured on {one.day}.")
    unbaked = next((each for each in found if each.stack == "ec2" and not each.baked), None)
    if unbaked is not None and "boot_seconds" not in changed:
        notes.append(
            f"The boot of {unbaked.boot_seconds:.0f} s was measured without a baked image, so the plan does not use "
            "it. `hearth infra smoke ec2 --bake` measures a baked one."
        )
    return given.model_copy(update=changed), tuple(notes)


def _around(assumed: Range, measured: float) -> Range:
    return assumed.times(measured / assumed.typical) if assumed.typical else Range.exactly(measured)
