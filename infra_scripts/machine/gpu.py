"""What nvidia-smi says of this machine's GPUs. Standard library of Python 3.10 only: machines carry it, too."""

from __future__ import annotations

import subprocess

_ASKED = {"use": "utilization.gpu", "used": "memory.used", "total": "memory.total", "celsius": "temperature.gpu"}
_SECONDS = 5.0
_hung: list[subprocess.Popen[bytes]] = []


def gpus() -> list[dict[str, float]]:
    """Each GPU's `use` and `memory`, per cent, and `celsius`, as far as it tells; none where there is no nvidia-smi."""
    if any(process.poll() is None for process in _hung):
        return []
    _hung.clear()
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED.values())}", "--format=csv,noheader,nounits"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 - fixed words
    except OSError:
        return []
    try:
        told, _ = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        # Not waited for: one that hangs in the driver cannot even be killed. No other is started beside it.
        process.kill()
        _hung.append(process)
        return []
    return parse_gpus(told.decode(errors="replace")) if process.returncode == 0 else []


def parse_gpus(text: str) -> list[dict[str, float]]:
    """A line a GPU; what it cannot tell ([N/A], [Not Supported], ERR!) is left out, and so is a line of rubbish."""
    found = []
    for line in text.splitlines():
        fields = [_number(field) for field in line.split(",")]
        if len(fields) != len(_ASKED):
            continue
        told = {name: number for name, number in zip(_ASKED, fields, strict=True) if number is not None}
        used, total = told.pop("used", None), told.pop("total", None)
        if used is not None and total:
            told["memory"] = 100 * used / total
        found.append(told)
    return found


def _number(field: str) -> float | None:
    field = field.strip()
    return float(field) if field.isascii() and field.replace(".", "", 1).isdigit() else None
