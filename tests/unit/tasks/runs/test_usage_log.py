"""`hearth cost` of what no pool's ledger knows: ECS tasks and SageMaker instances, as runs that held them noted it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.backends.base import Allocation, MachineFacts, ServerLease
from tasks.core.events import subscribe
from tasks.core.jobs import BackendName
from tasks.core.replicas import Replicas
from tasks.costs.attribution import pieces
from tasks.costs.bill import Bill, By, make_bill
from tasks.runs.usage_log import Held, note_held, note_taken, read_usage
from tasks.slots.store import FileStore
from tasks.storage.files import files_at
from tests.unit.tasks.costs.test_bill import SPAN, USE, billed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def held(start: float, end: float, **changed: Any) -> Held:
    """A run on the ECS service, seconds after noon, at USD 3.60 an hour."""
    facts = {"backend": "ecs", "machine": "hearth-ecs", "kind": "ECS tasks on g4dn.xlarge", "holder": "paper"}
    figures = {"started": NOON + start, "ended": NOON + end, "usd": (end - start) / 1000}
    return Held.model_validate({**facts, **figures, **changed})


def held_bill(output: Path, by: By, since: datetime) -> Bill:
    usage = read_usage(output, since)
    return make_bill(usage.pieces, by, since, datetime.now(UTC), usage.notes)


def noted(output: Path, *entries: Held) -> None:
    (output / "machines.jsonl").write_text("".join(each.model_dump_json() + "\n" for each in entries))


def test_a_run_costs_what_it_reckoned(tmp_path: Path):
    noted(tmp_path, held(0, 100, boot=30.0))
    (line,) = held_bill(tmp_path, By.DAY, SINCE).lines
    assert (line.name, line.boot, line.leased) == ("2026-11-24", 30, 70)
    assert line.usd == pytest.approx(0.1)


def test_what_runs_held_at_once_is_counted_once_and_shared_in_equal_parts(tmp_path: Path):
    noted(tmp_path, held(0, 100, holder="one"), held(50, 150, holder="other"))
    found = held_bill(tmp_path, By.DOCUMENT, SINCE)
    assert {line.name: line.leased for line in found.lines} == {"one": 75, "other": 75}
    assert (found.total.leased, found.total.usd) == (150, pytest.approx(0.15))


def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path: Path):
    (tmp_path / "machines.jsonl").write_text('{"backend": "ecs", "mach')
    files_at(tmp_path).append("machines.jsonl", held(0, 100).model_dump_json() + "\n")
    assert held_bill(tmp_path, By.DAY, SINCE).total.leased == 100


def test_other_services_are_not_shared(tmp_path: Path):
    noted(tmp_path, held(0, 100), held(0, 100, machine="endpoint", backend="sagemaker"))
    assert held_bill(tmp_path, By.MACHINE, SINCE).total.leased == 200


def test_services_of_one_name_in_two_regions_are_two(tmp_path: Path):
    noted(tmp_path, held(0, 100, region="us-east-1"), held(0, 100, region="eu-west-1"))
    found = held_bill(tmp_path, By.MACHINE, SINCE)
    assert found.total.leased == 200
    assert {line.name for line in found.lines} == {
        "hearth-ecs (ECS tasks on g4dn.xlarge in eu-west-1)",
        "hearth-ecs (ECS tasks on g4dn.xlarge in us-east-1)",
    }


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(0, 500)), max_size=12))
def test_sums_are_the_time_in_which_somebody_held_the_service_whoever_it_was(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, int, int]]
):
    entries = [held(min(a, b), max(a, b), boot=float(boot), usd=1.0) for a, b, boot in runs]
    output = tmp_path_factory.mktemp("results")
    noted(output, *entries)
    union = len({second for each in entries for second in range(round(each.started), round(each.ended))})
    for by in By:
        found = held_bill(output, by, SINCE)
        assert found.total.leased + found.total.boot == pytest.approx(union)
        assert sum(line.leased + line.boot for line in found.lines) == pytest.approx(union)
        assert sum(line.usd for line in found.lines) == pytest.approx(found.total.usd)


def test_documents_of_a_batch_share_it_by_their_page_seconds(tmp_path: Path):
    noted(tmp_path, held(0, 100, work={"a": 3.0, "b": 1.0}))
    assert {line.name: line.leased for line in held_bill(tmp_path, By.DOCUMENT, SINCE).lines} == {"a": 75, "b": 25}


def test_what_goes_over_midnight_is_of_both_days_and_what_lies_before_is_left_out(tmp_path: Path):
    hour = 3600.0
    noted(tmp_path, held(11 * hour, 14 * hour))
    assert [line.leased for line in held_bill(tmp_path, By.DAY, SINCE).lines] == [hour, 2 * hour]
    assert held_bill(tmp_path, By.DAY, datetime(2026, 11, 25, 1, tzinfo=UTC)).total.leased == hour
    assert held_bill(tmp_path, By.DAY, datetime(2026, 11, 26, tzinfo=UTC)).lines == ()


def test_where_the_figures_are_from_and_what_is_not_in_them_is_said(tmp_path: Path):
    noted(tmp_path, held(0, 100), held(0, 9, backend="sagemaker", machine="e", kind="1 x ml.odd", usd=None))
    told = " ".join(held_bill(tmp_path, By.DAY, SINCE).notes)
    assert "USD 0.1000 of ecs and sagemaker is what runs reckoned themselves" in told
    assert "ECS's load balancer (USD 22.27 a month" in told
    assert "copies that are kept" in told
    assert "counted as nothing, of: 1 x ml.odd" in told


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path):
    noted(tmp_path, held(0, 100))
    with (tmp_path / "machines.jsonl").open("a") as file:
        file.write('{"backend": "ecs", "mach')
    assert held_bill(tmp_path, By.DAY, SINCE).total.leased == 100


def allocation(backend: BackendName, facts: MachineFacts | None) -> Allocation:
    return Allocation(
        backend, "http://there", 4, FileStore(Path("/unused")), machine=facts, lease=ServerLease(work={"a": 2.0})
    )


def test_what_is_given_back_is_noted_with_its_documents(tmp_path: Path):
    facts = MachineFacts("hearth-ecs", "ECS tasks on g4dn.xlarge", 36.0, NOON, Replicas(0), boot_seconds=7.0)
    note_held(tmp_path / "new", allocation(BackendName.ECS, facts), "paper", NOON + 100)
    (line,) = held_bill(tmp_path / "new", By.DOCUMENT, SINCE).lines
    assert (line.name, line.boot, line.leased) == ("a", 7, 93)


def test_a_run_that_gave_nothing_back_is_told_of_and_not_counted(tmp_path: Path):
    at = MachineFacts("hearth-ecs", "ECS tasks on g4dn.xlarge", 36.0, NOON, Replicas(0))
    for holder in ("killed", "well"):
        note_taken(tmp_path, allocation(BackendName.ECS, at), holder)
    note_held(tmp_path, allocation(BackendName.ECS, at), "well", NOON + 100)
    found = held_bill(tmp_path, By.DAY, SINCE)
    assert found.total.leased == 100
    told = "Not in it: 1 run that still reads, or was killed: killed (on hearth-ecs, since 2026-11-24 12:00 UTC)."
    assert found.notes[-1] == told
    assert held_bill(tmp_path, By.DAY, datetime(2026, 11, 26, tzinfo=UTC)).notes == ()


def test_of_many_that_gave_nothing_back_the_latest_are_named(tmp_path: Path):
    for hour in range(5):
        at = MachineFacts("hearth-ecs", "ECS tasks", 36.0, NOON + hour * 3600, Replicas(0))
        note_taken(tmp_path, allocation(BackendName.ECS, at), f"run {hour}")
    (told,) = held_bill(tmp_path, By.DAY, SINCE).notes
    assert told.startswith("Not in it: 5 runs that still read, or were killed: run 4 (")
    assert told.endswith("run 2 (on hearth-ecs, since 2026-11-24 14:00 UTC) and 2 more.")


@pytest.mark.parametrize("backend", [BackendName.EC2, BackendName.URL])
def test_a_pool_s_machines_are_in_its_ledger_and_others_cost_nothing(tmp_path: Path, backend: BackendName):
    facts = MachineFacts("i-1", "g4dn.xlarge", 1.0, NOON) if backend is BackendName.EC2 else None
    note_taken(tmp_path, allocation(backend, facts), "paper")
    note_held(tmp_path, allocation(backend, facts), "paper", NOON + 100)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_noted_is_told_and_ends_nothing(tmp_path: Path):
    told: list[Any] = []
    (tmp_path / "file").write_text("in the way")
    facts = MachineFacts("hearth-ecs", "ECS tasks", 1.0, NOON)
    with subscribe(told.append):
        note_taken(tmp_path / "file", allocation(BackendName.ECS, facts), "paper")
        note_held(tmp_path / "file", allocation(BackendName.ECS, facts), "paper", NOON + 1)
    (once,) = told
    assert "`hearth cost` will lack this run" in once.message


def test_with_a_pool_both_are_one_bill_and_add_up(tmp_path: Path):
    noted(tmp_path, held(0, 100))
    pool, service = billed(By.DAY), held_bill(tmp_path, By.DAY, SINCE)
    usage, now = read_usage(tmp_path, SINCE), datetime.now(UTC)
    split = pieces([SPAN], [USE], SPAN.ended + 400_000)
    found = make_bill([*split, *usage.pieces], By.DAY, datetime.fromtimestamp(0, UTC), now, usage.notes)
    assert found.total.total_usd == pytest.approx(pool.total.total_usd + service.total.total_usd)
    assert sum(line.total_usd for line in found.lines) == pytest.approx(found.total.total_usd)
    assert found.notes == (*pool.notes, *service.notes)


def test_the_command_shows_it_and_brackets_in_a_name_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    noted(tmp_path, held(0, 5, holder="a [bold]"))
    monkeypatch.setenv("HEARTH_OUTPUT", str(tmp_path))
    done = CliRunner().invoke(app, ["cost", "--by", "document", "--since", "2026-11-24"])
    assert done.exit_code == 0, done.output
    assert "a [bold]" in done.output
    assert "0.0050" in done.output
    assert "Waiting" not in done.output  # nobody knows


def test_where_nothing_was_paid_for_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_OUTPUT", str(tmp_path))
    done = CliRunner().invoke(app, ["cost"])
    assert done.output.startswith("No machine was paid for")


@pytest.mark.parametrize("since", ["yesterday", "7", "2026-13-01", "999999999999d"])
def test_a_beginning_that_is_none_is_refused(since: str):
    refused = CliRunner().invoke(app, ["cost", "--since", since])
    assert "Write it like" in str(refused.exception)
