"""The index of the records: created from them, and repaired if it is old, missing or damaged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from flows.api.records import Record, write_whole
from flows.api.run_index import RunIndex


def _kept(records: Path) -> Record:
    """A record that some backend wrote without the index."""
    record = Record(id=uuid4(), sha256="a", pages="1", output=records / "out", created=datetime.now(UTC))
    write_whole(records / f"{record.id}.json", record.model_dump_json())
    return record


def _listed(records: Path) -> set[object]:
    return {position.id for position in RunIndex(records).after(None, 100)}


def test_records_without_an_index_are_listed(tmp_path: Path):
    kept = [_kept(tmp_path) for _ in range(3)]
    assert _listed(tmp_path) == {record.id for record in kept}


def test_a_record_that_was_removed_by_hand_is_not_listed(tmp_path: Path):
    kept = _kept(tmp_path)
    assert _listed(tmp_path) == {kept.id}
    (tmp_path / f"{kept.id}.json").unlink()
    assert _listed(tmp_path) == set()


def test_a_damaged_index_is_created_again(tmp_path: Path):
    kept = _kept(tmp_path)
    RunIndex(tmp_path)
    (tmp_path / ".index.sqlite").write_bytes(b"no database at all" * 1000)
    assert _listed(tmp_path) == {kept.id}


def test_a_damaged_record_is_skipped(tmp_path: Path):
    (tmp_path / f"{uuid4()}.json").write_text("{")
    assert _listed(tmp_path) == set()


@pytest.mark.parametrize("name", [None, "paper.pdf"])
def test_a_record_without_a_name_has_the_earlier_format(tmp_path: Path, name: str | None):
    record = _kept(tmp_path).model_copy(update={"filename": name})
    assert ("filename" in record.model_dump_json()) is (name is not None)
    assert Record.model_validate_json(record.model_dump_json()) == record
