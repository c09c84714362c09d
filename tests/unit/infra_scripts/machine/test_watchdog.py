"""The machine's watchdog ends a machine that nobody uses, that does not boot, or whose time is over."""

import itertools
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from infra_scripts.machine import machine
from tests.support.infra.machine_stubs import Asked, Surroundings, free_port
from tests.support.waiting import until

pytestmark = pytest.mark.long("runs the watchdog as a process for each test: 13 s in all")


class Time:
    """The machine's clock, which only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()
    monkeypatch.setattr(machine, "clock", now)
    return now


@pytest.fixture
def watchdog(around: Surroundings, clock: Time, monkeypatch: pytest.MonkeyPatch) -> Callable[..., machine.Watch]:
    """Makes watchdogs of this very process, whose clock is the test's; an idle machine has ten minutes."""

    def make(**changed: object) -> machine.Watch:
        settings = {"IDLE_SECONDS": 600, "BOOT_SECONDS": 1200, "LIFETIME_SECONDS": 43_200, "NOTICE_SECONDS": 120}
        for name, value in around.environment(**settings | changed).items():
            monkeypatch.setenv(name, value)
        return machine.Watch()

    return make


IDLE = "nobody used it for 600 seconds"
Watchdogs = Callable[..., machine.Watch]


class TestIdle:
    def test_a_machine_that_nobody_uses_powers_itself_off_and_the_watchdog_ends(self, around: Surroundings):
        around.goes(around.watch())

    def test_a_machine_goes_when_its_idle_time_is_over_and_not_before(self, watchdog: Watchdogs, clock: Time):
        watch = watchdog()
        assert watch.turn() is None
        clock.now += 599
        assert watch.turn() is None
        clock.now += 1
        assert watch.turn() == IDLE

    def test_an_open_connection_keeps_the_machine_on(self, around: Surroundings, watchdog: Watchdogs, clock: Time):
        watch = watchdog()
        with socket.create_connection(("127.0.0.1", around.ollama.port)):
            for _ in range(5):
                clock.now += 500
                assert watch.turn() is None
        clock.now += 599
        assert watch.turn() is None
        clock.now += 1
        assert watch.turn() == IDLE

    def test_requests_that_come_and_go_between_looks_are_seen_by_expires_at(
        self, around: Surroundings, watchdog: Watchdogs, clock: Time
    ):
        watch = watchdog()
        for second in range(5):
            around.expires = f"2026-11-23T10:00:0{second}Z"
            clock.now += 500
            assert watch.turn() is None
        clock.now += 600
        assert watch.turn() == IDLE

    def test_a_model_that_is_unloaded_is_no_activity(self, around: Surroundings, watchdog: Watchdogs, clock: Time):
        watch = watchdog()
        assert watch.turn() is None
        clock.now += 300
        around.ollama.answer = lambda _: (200, b'{"models": []}')
        assert watch.turn() is None
        clock.now += 300
        assert watch.turn() == IDLE

    def test_the_watchdog_looks_once_more_before_it_acts(self, around: Surroundings, watchdog: Watchdogs, clock: Time):
        watch = watchdog()
        assert watch.turn() is None
        clock.now += 600
        looks = itertools.count(1)

        def used_at_the_last_moment(asked: Asked) -> tuple[int, bytes] | None:
            if next(looks) == 2:
                around.expires = "2026-11-23T10:00:59Z"
            return around.answer_ollama(asked)

        around.ollama.answer = used_at_the_last_moment
        assert watch.turn() is None
        assert next(looks) == 3
        around.ollama.answer = around.answer_ollama
        clock.now += 600
        assert watch.turn() == IDLE

    def test_an_ollama_that_dies_later_does_not_keep_the_machine_on(
        self, around: Surroundings, watchdog: Watchdogs, clock: Time
    ):
        watch = watchdog()
        assert watch.turn() is None
        around.ollama.answer = lambda _: (500, b"")
        clock.now += 599
        assert watch.turn() is None
        clock.now += 1
        assert watch.turn() == IDLE

    def test_a_restarted_watchdog_goes_on_with_its_clock(self, watchdog: Watchdogs, clock: Time):
        assert watchdog().turn() is None
        clock.now += 400
        restarted = watchdog()
        assert restarted.turn() is None
        clock.now += 199
        assert restarted.turn() is None
        clock.now += 1
        assert restarted.turn() == IDLE

    def test_a_watchdog_that_is_killed_has_kept_its_clock(self, around: Surroundings):
        process = around.watch(IDLE_SECONDS=36_000)
        around.looks(process)
        process.kill()
        process.wait()
        kept = json.loads(around.kept())
        around.looks(around.watch(IDLE_SECONDS=36_000))
        assert json.loads(around.kept()) == kept

    def test_a_power_off_that_fails_is_tried_again(self, around: Surroundings):
        script = around.directory / "poweroff"
        script.write_text(f"#!/bin/sh\nmkdir {around.directory}/tried 2>/dev/null && exit 1\ntouch {around.off}\n")
        script.chmod(0o755)
        around.goes(around.watch(POWEROFF=script))
        assert (around.directory / "tried").is_dir()


class TestBoot:
    def test_until_ollama_answers_the_boot_limit_holds_instead_of_the_idle_one(self, watchdog: Watchdogs, clock: Time):
        watch = watchdog(OLLAMA_URL=f"http://127.0.0.1:{free_port()}")
        clock.now += 1199
        assert watch.turn() is None
        clock.now += 1
        assert watch.turn() == "Ollama did not answer in 1200 seconds"

    def test_the_first_answer_starts_the_idle_clock(self, around: Surroundings, watchdog: Watchdogs, clock: Time):
        around.ollama.answer = lambda _: (503, b"")
        watch = watchdog()
        clock.now += 1000
        assert watch.turn() is None
        around.ollama.answer = around.answer_ollama
        assert watch.turn() is None
        clock.now += 599
        assert watch.turn() is None
        clock.now += 1
        assert watch.turn() == IDLE


def record_state(around: Surroundings) -> list[str]:
    """Why the machine has said that it goes."""
    return [notice.split(" ")[1] for notice in around.tags("hearth:notice")]


class TestLifetime:
    def test_the_oldest_age_ends_a_machine_that_is_in_use_and_notice_is_given_before(
        self, around: Surroundings, watchdog: Watchdogs, clock: Time
    ):
        watch = watchdog()
        with socket.create_connection(("127.0.0.1", around.ollama.port)):
            clock.now += 43_200 - 121
            assert watch.turn() is None
            assert around.tags("hearth:notice") == []
            clock.now += 21
            before = datetime.now(UTC).replace(microsecond=0)
            assert watch.turn() is None
            after = datetime.now(UTC)
            (notice,) = around.tags("hearth:notice")
            clock.now += 99
            assert watch.turn() is None
            clock.now += 1
            assert watch.turn() == "it has reached its lifetime of 12 hours"
        at, reason = notice.split(" ")
        assert reason == "lifetime"
        assert before <= datetime.fromisoformat(at) - timedelta(seconds=100) <= after

    def test_notice_is_given_once(self, around: Surroundings, watchdog: Watchdogs, clock: Time):
        watch = watchdog(IDLE_SECONDS=100_000)
        clock.now += 43_200 - 120
        for _ in range(3):
            assert watch.turn() is None
            clock.now += 1
        assert record_state(around) == ["lifetime"]

    def test_the_watchdog_gives_notice_and_goes(self, around: Surroundings):
        around.goes(around.watch(LIFETIME_SECONDS=2, NOTICE_SECONDS=1.9, IDLE_SECONDS=36_000))
        assert record_state(around) == ["lifetime"]


SPOT = (200, b'{"action": "terminate", "time": "2026-11-23T10:02:00Z"}')


class TestSpot:
    def test_an_interruption_is_published_once(self, around: Surroundings):
        around.interruption = SPOT
        process = around.watch(IDLE_SECONDS=36_000)
        until(lambda: around.tags("hearth:notice"))
        around.looks(process)
        assert around.tags("hearth:notice") == ["2026-11-23T10:02:00Z spot-interruption"]

    def test_a_notice_that_was_not_written_is_tried_until_it_is(self, around: Surroundings):
        around.interruption, around.tagging = SPOT, (503, b"")
        process = around.watch(IDLE_SECONDS=36_000)
        until(lambda: len(around.tags("hearth:notice")) > 1)
        around.tagging = (200, b"<ok/>")
        until(lambda: "spot-interruption" in around.kept())
        written = len(around.tags("hearth:notice"))
        around.looks(process)
        assert len(around.tags("hearth:notice")) == written

    def test_a_restarted_watchdog_does_not_publish_again(self, around: Surroundings):
        around.interruption = SPOT
        process = around.watch(IDLE_SECONDS=36_000)
        until(lambda: "spot-interruption" in around.kept())
        process.kill()
        process.wait()
        around.looks(around.watch(IDLE_SECONDS=36_000))
        assert len(around.tags("hearth:notice")) == 1

    def test_an_interruption_is_published_although_the_lifetime_was(
        self, around: Surroundings, watchdog: Watchdogs, clock: Time
    ):
        watch = watchdog(IDLE_SECONDS=100_000)
        clock.now += 43_200 - 120
        assert watch.turn() is None
        around.interruption = SPOT
        assert watch.turn() is None
        assert record_state(around) == ["lifetime", "spot-interruption"]
