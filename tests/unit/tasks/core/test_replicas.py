"""The number of replicas, and their paid time."""

import pytest

from tasks.backends.base import MachineFacts
from tasks.core import replicas as module
from tasks.core.replicas import Replicas


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_each_is_paid_for_while_it_is_there_whether_it_serves_or_not(clock: list[float]):
    parts = Replicas(0)
    clock[0] += 10
    parts.see(0, paid=2)
    clock[0] += 30
    parts.see(2, paid=3)
    clock[0] += 10
    assert parts.paid_seconds == 2 * 30 + 3 * 10
    parts.see(0, paid=0)
    clock[0] += 1000
    assert parts.paid_seconds == 90


def test_what_they_cost_is_the_price_of_one_for_the_seconds_of_all(clock: list[float]):
    parts = Replicas(0)
    machine = MachineFacts("the service", "tasks", 0.5, 0.0, parts)
    parts.see(4, paid=4)
    clock[0] += 900
    assert machine.usd_so_far() == pytest.approx(0.5)
