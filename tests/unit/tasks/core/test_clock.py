"""Clocks that are independent of the wall clock."""

from __future__ import annotations

import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core import clock
from tasks.core.clock import MachineClock, ServerClock, boot_id, elapsed

DAY = 86_400.0
NEAR = DAY / 4
"""A clock that is wrong is wrong by a day and more; how long a test takes does not matter."""

linux = pytest.mark.skipif(boot_id() is None, reason="only Linux has such a clock")


class Stepped:
    """The module `time`, with a wall clock that is off by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return time.time() + self._seconds

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.fixture(params=[DAY, -DAY])
def step(request: pytest.FixtureRequest) -> Stepped:
    return Stepped(request.param)


def test_the_machine_s_time_is_first_the_wall_clock_s(tmp_path):
    assert MachineClock(tmp_path).now() == pytest.approx(time.time(), abs=NEAR)


@linux
def test_a_step_of_the_wall_clock_does_not_move_it(tmp_path, monkeypatch, step):
    first = MachineClock(tmp_path)
    before = first.now()
    monkeypatch.setattr(clock, "time", step)
    assert first.now() == pytest.approx(before, abs=NEAR)
    assert MachineClock(tmp_path).now() == pytest.approx(before, abs=NEAR)


@linux
def test_processes_that_come_at_once_agree_on_it(tmp_path):
    code = "import sys; from pathlib import Path; from tasks.core.clock import MachineClock, elapsed\n"
    code += "clock = MachineClock(Path(sys.argv[1])); clock.now(); print(f'{clock._epoch:.6f}')"
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(clock.__file__).parents[2]
    processes = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    assert len({process.communicate()[0] for process in processes}) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"clock-{boot_id()}"]


@linux
def test_after_a_reboot_the_time_is_agreed_on_anew(tmp_path, monkeypatch):
    MachineClock(tmp_path).now()
    monkeypatch.setattr(clock, "boot_id", lambda: "another")
    monkeypatch.setattr(clock, "time", Stepped(-DAY))
    assert MachineClock(tmp_path).now() == pytest.approx(time.time() - DAY, abs=NEAR)


def test_where_the_system_tells_no_boot_the_wall_clock_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "boot_id", lambda: None)
    assert MachineClock(tmp_path).now() == pytest.approx(time.time(), abs=NEAR)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_the_wall_clock_is_used(tmp_path):
    (tmp_path / "slots").write_text("in the way")
    assert MachineClock(tmp_path / "slots").now() == pytest.approx(time.time(), abs=NEAR)


def test_before_a_service_has_answered_its_time_is_the_wall_clock_s():
    assert ServerClock().now() == pytest.approx(time.time(), abs=NEAR)


@given(st.floats(-400 * DAY, 400 * DAY), st.floats(0, 3))
def test_a_service_s_time_is_that_of_its_answers_however_wrong_the_own_clock(ahead, travel):
    service, began, wall = ServerClock(), elapsed(), time.time()
    for sent in (began, began + 10.3, began + 20.7):
        answered = wall + ahead + (sent - began) + travel / 2
        service.note(formatdate(int(answered), usegmt=True), sent, sent + travel)
    now, passed = service.now(), elapsed() - began
    assert wall + ahead - 2.5 <= now <= wall + ahead + passed + 2.5


def test_a_service_whose_time_changes_is_believed():
    service, now = ServerClock(), elapsed()
    service.note(formatdate(1e9, usegmt=True), now, now)
    service.note(formatdate(1e9 + DAY, usegmt=True), now, now)
    assert service.now() == pytest.approx(1e9 + DAY, abs=NEAR)


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Xxx 2026 25:61:00 GMT"])
def test_a_date_that_makes_no_sense_is_passed_over(date):
    service = ServerClock()
    service.note(date, 0.0, 0.0)
    assert service.now() == pytest.approx(time.time(), abs=NEAR)
