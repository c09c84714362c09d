"""docs/pictures/ec2-boot.svg: what a boot does when. As root, `python -m tests.benchmarks.boot_order REVISION`.

Machines boot for real (tests/support/boot), with the machine's files of a revision and with those of this tree, from a
bare disk and from a baked one. What a container lacks takes the assumed seconds of SECONDS. A client does what a run
does: it asks every three seconds, loads the model, and has a page read.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra_scripts.ec2 import user_data
from tests.benchmarks.drawing import Picture
from tests.support.boot.fixtures import ARCHIVE, TOKEN, Ground, baked_disk, open_ground, stack
from tests.support.boot.machine import Machine
from tests.support.boot.root import large_directory, why_not
from tests.support.tools import ROOT

PICTURE = ROOT / "docs/pictures/ec2-boot.svg"
SECONDS = {"driver": 20, "archive": 20, "pull": 60, "disk": 26, "load": 20}
"""Assumed. The disk's are the middle of docs/how-to/ec2.md, the load's of docs/reference/assumptions.md; the others are
round numbers."""
_EVENTS = "usr/share/ollama/events.jsonl"
_DD = f"""#!/bin/sh
note() {{ printf '{{"what": "disk %s", "at": %s}}\\n' "$1" "$(date +%s.%N)" >>/{_EVENTS}; }}
umask 0
note begins
sleep {SECONDS["disk"]}
note ends
"""
_RUN = f"""
ask() {{ curl --insecure --fail --silent --output /dev/null --header 'Authorization: Bearer {TOKEN}' "$@"; }}
until ask https://127.0.0.1:11435/api/version; do sleep 3; done
for prompt in '' 'page 1'; do
  ask --data '{{"model": "qwen2.5vl:7b", "prompt": "'"$prompt"'"}}' https://127.0.0.1:11435/api/generate
done
"""
_ROWS = {
    "driver": "the GPU's driver comes up",
    "disk": "the disk is read ahead",
    "archive": "Ollama is downloaded",
    "pull": "the model is pulled",
    "load": "the model is loaded",
    "page": "the first page",
}
Bars = dict[str, tuple[float, float]]
"""From when to when something went on, seconds since power-on."""


@contextmanager
def _files_of(revision: str) -> Iterator[None]:
    """Have machines carry the files of a revision; those of this tree if it is empty."""
    read = user_data._read

    def of_revision(name: str) -> str:
        shown = ["git", "show", f"{revision}:infra_scripts/machine/{name}"]
        done = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=False)
        # A unit that it did not have does nothing.
        return done.stdout if done.returncode == 0 else "[Service]\nExecStart=/bin/true\n"

    def with_gpu(name: str) -> str:
        return (of_revision if revision else read)(name).replace("/sys/bus/pci/devices/*/vendor", "/etc/gpu")

    user_data._read = with_gpu
    try:
        yield
    finally:
        user_data._read = read


def _equip(machine: Machine, *, baked: bool) -> None:
    """Give a machine what a container lacks."""
    ready = time.time() + SECONDS["driver"]
    programs = {"nvidia-smi": f'#!/bin/sh\n[ "$(date +%s)" -ge {ready:.0f} ]\n', "dd": _DD}
    for name, text in programs.items():
        machine.write(f"/usr/local/bin/{name}", text)
        (machine.image / "usr/local/bin" / name).chmod(0o755)
    machine.write("/etc/gpu", "0x10de\n")
    machine.write("/etc/ollama-seconds.json", json.dumps(SECONDS))
    if baked:
        machine.write("/usr/share/ollama/.ollama/models/blobs/sha256-0", "x" * (2 << 20))
        (machine.image / _EVENTS).unlink(missing_ok=True)


def _boot(ground: Ground, image: Path | None, revision: str) -> Bars:
    """Boot a machine, have a page read on it, and return what went on when."""
    with large_directory(ground.root.parent) as directory, _files_of(revision):
        slow = shutil.copytree(ground.cloud, directory / "slow")
        (slow / "seconds.json").write_text(json.dumps({ARCHIVE: SECONDS["archive"]}))
        machine = Machine(ground.root, slow, directory, "i-0new0000000000000", image)
        try:
            _equip(machine, baked=image is not None)
            machine.boot(stack())
            machine.run("sh", "-c", _RUN)
            lines = (machine.image / _EVENTS).read_text().splitlines()
            at = {event["what"]: event["at"] - machine.booted_at for event in map(json.loads, lines)}
            fetched = [asked["at"] - machine.booted_at for asked in machine.asked if ARCHIVE in asked.get("path", "")]
        finally:
            machine.close()
    bars = {name: (at[f"{name} begins"], at[f"{name} ends"]) for name in _ROWS if f"{name} ends" in at}
    bars["driver"] = (0.0, float(SECONDS["driver"]))
    if fetched:
        bars["archive"] = (fetched[0], fetched[0] + SECONDS["archive"])
    return bars


def _draw(panels: dict[str, tuple[Bars, Bars]]) -> None:
    left, right, row, bar = 190.0, 730.0, 32.0, 12.0
    longest = max(end for pair in panels.values() for bars in pair for _, end in bars.values())
    height = 128 + sum(34 + row * len(before) for before, _ in panels.values())
    assumed = ", ".join(f"{name} {seconds} s" for name, seconds in SECONDS.items())
    picture = Picture(height, "From power-on to the first page on EC2", f"simulated: real boots; assumed {assumed}")
    for x, kind, what in ((left, "theirs", "one after the other"), (left + 160, "ours", "at the same time")):
        picture.box(x, 64, bar, bar, kind)
        picture.text(x + 18, 74, what, "faint")
    y = 92.0
    for title, pair in panels.items():
        before, after = (bars["page"][0] for bars in pair)
        picture.text(20, y + 14, f"{title}: the first page begins after {after:.0f} s instead of {before:.0f} s")
        y += 26
        for name in (name for name in _ROWS if name in pair[0]):
            picture.text(20, y + 17, _ROWS[name], "faint")
            for place, (bars, kind) in enumerate(zip(pair, ("theirs", "ours"), strict=True)):
                begins, ends = (left + (right - left) * moment / longest for moment in bars[name])
                picture.box(begins, y + 2 + place * (bar + 1), max(ends - begins, 4), bar, kind)
            picture.line(20, y + row - 2, right, y + row - 2)
            y += row
        y += 8
    for moment in range(0, int(longest) + 1, 20):
        picture.text(left + (right - left) * moment / longest, y + 14, f"{moment} s", "faint middle")
    picture.save(PICTURE)


def main(revision: str) -> None:
    """Boot, print what went on when, and draw it."""
    if reason := why_not():
        raise SystemExit(reason)
    with open_ground() as ground, baked_disk(ground) as baked:
        panels = {
            title: (_boot(ground, image, revision), _boot(ground, image, ""))
            for title, image in {"A bare image": None, "A baked image": baked}.items()
        }
    sys.stdout.write(json.dumps(panels, indent=1) + "\n")
    _draw(panels)


if __name__ == "__main__":
    main(sys.argv[1])
