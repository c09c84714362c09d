"""The tables of figures that `make bench` prints and keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import section
from tests.benchmarks.run_all import noise
from tests.benchmarks.section import Section

LOAVES = Section("loaves", "Loaves a minute", ("oven", "loaves"), [("warm | dry", "12"), ("cold", "0")])


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(section, "SECTIONS", tmp_path)
    return tmp_path


def test_a_section_is_printed_and_kept(kept: Path, capsys: pytest.CaptureFixture[str]):
    LOAVES.show()
    printed = capsys.readouterr().out
    assert all(cell in printed for cell in ("Loaves a minute", "warm | dry", "12", "cold"))
    assert json.loads((kept / "loaves.json").read_text())["rows"] == [["warm | dry", "12"], ["cold", "0"]]


def test_a_section_is_a_table_in_markdown():
    assert LOAVES.markdown().splitlines() == [
        "Loaves a minute:",
        "",
        "| oven | loaves |",
        "| --- | --- |",
        "| warm \\| dry | 12 |",
        "| cold | 0 |",
    ]


def test_the_machines_noise_is_the_control_loop_over_its_least():
    shown = noise({"start": [0.2, 0.1, 0.3, 0.1, 0.2], "the end": [0.1] * 5}, {"start": 0.5, "the end": 2.0})
    assert shown.rows == [("start", "2.00", "3.00", "0.5"), ("the end", "1.00", "1.00", "2.0")]
