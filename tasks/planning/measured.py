"""What `hearth infra smoke` measured: a small file a machine and a model, which plans prefer to their assumptions.

It can be sent to others as it is: it holds numbers, names of AWS's and of the model, and a day; no account, no address,
no name of a pool, no text.
"""

from __future__ import annotations

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
_MOST_FILES = 200
_MOST_BYTES = 10_000
_GIB = 2**30
Seconds = Field(ge=0, le=86_400)


class Measurement(Frozen):
    """One machine that read one page.

    Attributes:
        hearth: version of Hearth.
        baked: whether it booted from an image with Ollama and the model on it.
        boot_seconds: from asking for it until its server answered.
        load_seconds: from there until the model was warm and its slots were counted.
        page_seconds: of the page, alone on the machine.
        slots: pages that it serves at once.
        gpu_memory_gib: that the model takes, with the room of all slots; None if it takes none.
        usd: that the whole trial cost, at most.
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
    boot_seconds: float = Seconds
    load_seconds: float = Seconds
    page_seconds: float = Seconds
    slots: int = Field(ge=1, le=256)
    gpu_memory_gib: float | None = Field(None, ge=0, le=10_000)
    usd: float = Field(ge=0)

    @property
    def machine(self) -> str:
        """The instance type without what SageMaker puts before it."""
        return self.instance_type.removeprefix("ml.")

    @property
    def file(self) -> str:
        """What its file is called: a newer one of the same takes the place of the older."""
        image = "-baked" if self.baked else ""
        return f"{self.stack}-{self.instance_type}{image}-{re.sub(r'[^A-Za-z0-9._-]', '_', self.model)}.json"


def save_measurement(measurement: Measurement, home: Path) -> Path:
    """Store a measurement where plans look for it, and return where that is."""
    files = files_at(home / _FOLDER)
    files.mkdir()
    files.write(measurement.file, [measurement.model_dump_json(indent=1), "\n"])
    return home / _FOLDER / measurement.file


def load_measurements(home: Path, machine: str, model: str) -> tuple[Measurement, ...]:
    """Return what was measured of a machine with a model, the newest first. What cannot be understood is left out."""
    found = [each for each in _all(home) if (each.machine, each.model) == (machine.removeprefix("ml."), model)]
    return tuple(sorted(found, key=lambda each: each.day, reverse=True))


def _all(home: Path) -> Iterator[Measurement]:
    for path in sorted((home / _FOLDER).glob("*.json"))[:_MOST_FILES]:
        try:
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
            if len(text) <= _MOST_BYTES:
                yield Measurement.model_validate_json(text)
        except (OSError, ValidationError):
            continue


def apply_measurements(given: Assumptions, found: tuple[Measurement, ...]) -> tuple[Assumptions, tuple[str, ...]]:
    """Put what was measured in place of what is assumed, and say so, a sentence a measurement.

    One measurement says nothing of how much times vary: their ranges stay as wide, in proportion, as they were assumed.
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
    told = [
        f"Page, load, slots and GPU memory: measured by `hearth infra smoke {newest.stack}` on {newest.instance_type} "
        f"with {newest.model} on {newest.day}."
    ]
    for stack, name in {"ec2": "boot_seconds", "ecs": "task_seconds", "sagemaker": "sagemaker_seconds"}.items():
        one = next((each for each in found if each.stack == stack and (each.baked or stack != "ec2")), None)
        if one is not None:
            # A task's start is what is left of a machine's.
            seconds = one.boot_seconds - (given.boot_seconds.typical if stack == "ecs" else 0)
            changed[name] = _around(getattr(given, name), max(0.0, seconds))
            told.append(f"Boot on {stack}: {one.boot_seconds:.0f} s, measured on {one.day}.")
    unbaked = next((each for each in found if each.stack == "ec2" and not each.baked), None)
    if unbaked is not None and "boot_seconds" not in changed:
        told.append(
            f"The boot of {unbaked.boot_seconds:.0f} s was measured without a baked image, and is not that of a plan: "
            "`hearth infra smoke ec2 --bake` measures one."
        )
    return given.model_copy(update=changed), tuple(told)


def _around(assumed: Range, measured: float) -> Range:
    if not assumed.typical:
        return Range.exactly(measured)
    return assumed.times(measured / assumed.typical)
