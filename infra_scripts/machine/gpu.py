"""The GPUs of this machine as nvidia-smi reports them. Runs on machines: standard library of Python 3.10 only."""

from __future__ import annotations

import subprocess

_FIELDS = {"use": "utilization.gpu", "used": "memory.used", "total": "memory.total", "celsius": "temperature.gpu"}
RESPONSE_SECONDS = 5.0
hung: list[subprocess.Popen[bytes]] = []


def gpus() -> list[dict[str, float]]:
    """Return each GPU's `use` and `memory` in per cent and `celsius`, as far as known; empty without nvidia-smi."""
    if any(process.poll() is None for process in hung):
        return []
    hung.clear()
    command = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS.values())}", "--format=csv,noheader,nounits"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 - fixed words
    except OSError:
        return []
    try:
        output, _ = process.communicate(timeout=RESPONSE_SECONDS)
    except subprocess.TimeoutExpired:
        # A process that hangs in the driver cannot be killed: do not wait for it, and start no other meanwhile.
        process.kill()
        hung.append(process)
        return []
    return parse_gpus(output.decode(errors="replace")) if process.returncode == 0 else []


def parse_gpus(text: str) -> list[dict[str, float]]:
    """Parse one line for each GPU; unknown values ([N/A], [Not Supported], ERR!) and invalid lines are left out."""
    found = []
    for line in text.splitlines():
        fields = [_number(field) for field in line.split(",")]
        if len(fields) != len(_FIELDS):
            continue
        values = {name: number for name, number in zip(_FIELDS, fields, strict=True) if number is not None}
        used, total = values.pop("used", None), values.pop("total", None)
        if used is not None and total:
            values["memory"] = 100 * used / total
        found.append(values)
    return found


def _number(field: str) -> float | None:
    field = field.strip()
    return float(field) if field.isascii() and field.replace(".", "", 1).isdigit() else None
