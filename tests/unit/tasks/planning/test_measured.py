"""What a trial measured is preferred to assumptions, and holds nothing of whoever measured it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.costs.assumptions import Assumptions
from tasks.planning.measured import Measurement, load_measurements, save_measurement
from tasks.planning.request import PlanRequest, make_plan
from tasks.settings.settings import Settings

FACTS: dict[str, Any] = {
    "hearth": "1.0",
    "day": date(2026, 11, 30),
    "stack": "ec2",
    "region": "us-east-1",
    "instance_type": "g4dn.xlarge",
    "market": "spot",
    "model": "qwen2.5vl:7b",
    "num_ctx": 8192,
    "baked": True,
    "boot_seconds": 90.0,
    "load_seconds": 40.0,
    "page_seconds": 3.0,
    "slots": 4,
    "gpu_memory_gib": 9.0,
    "usd": 0.2,
}
ASSUMED = Assumptions()


def plan(home: Path, **asked: Any) -> Any:
    settings = Settings(home=home, output=home / "results", model="qwen2.5vl:7b")
    return make_plan(PlanRequest(**{"pages": 50, **asked}), settings)


def test_a_plan_rests_on_what_was_measured_and_says_so(tmp_path: Path):
    save_measurement(Measurement(**FACTS), tmp_path)
    made = plan(tmp_path)
    given = made.given
    assert (given.boot_seconds.typical, given.load_seconds.typical, given.page_seconds.typical) == (90, 40, 3)
    assert (given.slots, given.page_seconds_slots) == (4, 1)
    assert "measured by `hearth infra smoke ec2` on g4dn.xlarge" in " ".join(made.notes)
    assert made.notes[0] == "Page times: measured with one page by `hearth infra smoke` on g4dn.xlarge."


def test_one_measurement_says_nothing_of_the_spread(tmp_path: Path):
    save_measurement(Measurement(**FACTS), tmp_path)
    measured, assumed = plan(tmp_path).given.boot_seconds, ASSUMED.boot_seconds
    assert measured.high / measured.typical == pytest.approx(assumed.high / assumed.typical)


def test_gpu_memory_without_the_slots_room_is_the_weights(tmp_path: Path):
    save_measurement(Measurement(**FACTS), tmp_path)
    room = ASSUMED.kv_kib_per_token * 8192 * 4 / 2**20
    assert plan(tmp_path).given.weights_gib == pytest.approx(9.0 - room)


def test_what_is_assumed_by_name_wins(tmp_path: Path):
    save_measurement(Measurement(**FACTS), tmp_path)
    made = plan(tmp_path, assume={"slots": "16", "page_seconds": "5-10"})
    assert (made.given.slots, made.given.page_seconds.low) == (16, 5)
    assert made.notes[0] == "Page times: assumed, as requested."


@pytest.mark.parametrize(
    "asked", [{"assume": {"instance_type": "g5.xlarge"}}, {"model": "llava:7b"}, {"classic": True}], ids=str
)
def test_another_machine_or_model_or_the_classic_table_is_as_it_was(tmp_path: Path, asked: dict[str, Any]):
    without = plan(tmp_path, **asked)
    save_measurement(Measurement(**FACTS), tmp_path)
    assert plan(tmp_path, **asked) == without


def test_the_newest_is_taken(tmp_path: Path):
    save_measurement(Measurement(**FACTS), tmp_path)
    save_measurement(
        Measurement(**{**FACTS, "stack": "sagemaker", "instance_type": "ml.g4dn.xlarge", "day": date(2026, 12, 1)}),
        tmp_path,
    )
    assert [each.stack for each in load_measurements(tmp_path, "g4dn.xlarge", "qwen2.5vl:7b")] == ["sagemaker", "ec2"]
    given = plan(tmp_path).given
    assert (given.sagemaker_seconds.typical, given.boot_seconds.typical) == (90, 90)


def test_a_boot_without_a_baked_image_is_told_and_not_taken_for_that_of_a_baked_one(tmp_path: Path):
    save_measurement(Measurement(**{**FACTS, "baked": False, "boot_seconds": 600.0}), tmp_path)
    made = plan(tmp_path)
    assert made.given.boot_seconds == ASSUMED.boot_seconds
    assert any("--bake" in note and "600 s" in note for note in made.notes)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema_version": 2}', "x" * 20_000, "\x00"], ids=len)
def test_a_file_that_cannot_be_understood_is_as_good_as_none(tmp_path: Path, text: str):
    without = plan(tmp_path)
    file = save_measurement(Measurement(**FACTS), tmp_path)
    file.write_text(text)
    assert plan(tmp_path) == without


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "arn:aws:iam::123456789012:role/x y"),
        ("region", "10.0.0.1"),
        ("instance_type", "i-0123456789abcdef0"),
        ("hearth", "1.0 /home/alice"),
        ("account", "123456789012"),
    ],
)
def test_there_is_no_room_for_what_is_nobodys_business(field: str, value: str):
    with pytest.raises(ValidationError):
        Measurement(**{**FACTS, field: value})
