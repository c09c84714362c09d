"""The machine's own program, as a process, among stubs of what surrounds it."""

import itertools
import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.machine import aws as machine_aws
from infra_scripts.machine import machine
from tests.support.infra.machine_stubs import INSTANCE, KEYS, Asked, Surroundings, free_port, surroundings
from tests.support.waiting import PATIENCE, until


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    with surroundings(tmp_path) as there:
        yield there


class Time:
    """The machine's clock, which only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()
    monkeypatch.setattr(machine, "_clock", now)
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


def noticed(around: Surroundings) -> list[str]:
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
            assert watch.turn() == "it is 12 hours old, its most"
        at, reason = notice.split(" ")
        assert reason == "lifetime"
        assert before <= datetime.fromisoformat(at) - timedelta(seconds=100) <= after

    def test_notice_is_given_once(self, around: Surroundings, watchdog: Watchdogs, clock: Time):
        watch = watchdog(IDLE_SECONDS=100_000)
        clock.now += 43_200 - 120
        for _ in range(3):
            assert watch.turn() is None
            clock.now += 1
        assert noticed(around) == ["lifetime"]

    def test_the_watchdog_gives_notice_and_goes(self, around: Surroundings):
        around.goes(around.watch(LIFETIME_SECONDS=2, NOTICE_SECONDS=1.9, IDLE_SECONDS=36_000))
        assert noticed(around) == ["lifetime"]


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
        assert noticed(around) == ["lifetime", "spot-interruption"]


RUBBISH = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'{"models": 3}',
    b'{"models": [null]}',
    b"[" * 100_000,
    b"x" * 3_000_000,
]


class TestRubbish:
    def test_whatever_ollama_answers_the_machine_goes(self, around: Surroundings):
        answers = itertools.cycle(RUBBISH)
        around.ollama.answer = lambda _: (200, next(answers))
        around.looks(around.watch(), len(RUBBISH) + 1)
        around.goes(around.watch(BOOT_SECONDS=0.1))

    def test_whatever_the_metadata_service_answers_the_machine_goes(self, around: Surroundings):
        answers = itertools.cycle(RUBBISH)
        around.aws.answer = lambda _: (200, next(answers))
        process = around.watch(IDLE_SECONDS=36_000)
        until(lambda: len(around.aws.asked) > len(RUBBISH))
        around.looks(process)
        around.goes(around.watch(IDLE_SECONDS=0.1))

    @pytest.mark.parametrize(
        "state",
        [*RUBBISH, b'{"started": NaN, "active": 1e999}', b'{"started": 1e99, "active": 1e99}'],
        ids=lambda state: state[:20],
    )
    def test_whatever_the_state_file_holds_the_machine_goes(self, around: Surroundings, state: bytes):
        around.state.mkdir()
        (around.state / "watch.json").write_bytes(state)
        around.goes(around.watch(IDLE_SECONDS=0.2, BOOT_SECONDS=0.2))

    def test_a_state_that_cannot_be_kept_does_not_stop_the_clocks(self, around: Surroundings):
        around.state.write_text("a file where the directory should be")
        around.goes(around.watch())

    def test_surroundings_that_refuse_every_connection_do_not_stop_the_clocks(self, around: Surroundings):
        nothing = f"http://127.0.0.1:{free_port()}"
        around.goes(around.watch(IMDS_URL=nothing, EC2_URL=nothing, LIFETIME_SECONDS=2, NOTICE_SECONDS=2))

    def test_an_answer_that_drips_in_for_ever_does_not_stop_the_clocks(self, around: Surroundings):
        around.ollama.answer = lambda _: None
        around.goes(around.watch(BOOT_SECONDS=1, ANSWER_SECONDS=1))

    def test_settings_that_make_no_sense_end_the_watchdog_so_that_its_unit_powers_off(self, around: Surroundings):
        code, out = around.run("watch", IDLE_SECONDS="soon")
        assert code != 0
        assert "soon" in out

    def test_a_signal_to_end_is_obeyed(self, around: Surroundings):
        process = around.watch(IDLE_SECONDS=36_000)
        around.looks(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM


class TestCommands:
    def test_tell_sets_the_stage_on_this_very_instance(self, around: Surroundings):
        assert around.run("tell", "pulling qwen2.5vl:7b") == (0, "")
        form = around.aws.asked[-1].form
        assert (form["ResourceId.1"], form["Tag.1.Key"]) == (INSTANCE, "hearth:stage")
        assert form["Tag.1.Value"] == "pulling qwen2.5vl:7b"

    def test_tell_writes_only_what_a_tag_may_hold(self, around: Surroundings):
        around.run("tell", "failed: <a&b>\n" + "x" * 300)
        value = around.aws.asked[-1].form["Tag.1.Value"]
        assert re.fullmatch(r"failed: -a-b--x{242}", value)

    def test_tell_is_no_failure_when_aws_cannot_be_reached(self, around: Surroundings):
        code, out = around.run("tell", "serving", IMDS_URL=f"http://127.0.0.1:{free_port()}")
        assert code == 0
        assert "did not reach AWS" in out

    def test_log_sends_the_last_lines_to_the_stream_of_the_instance(self, around: Surroundings, tmp_path: Path):
        (tmp_path / "boot.log").write_text("".join(f"line {n}\n\n" for n in range(500)))
        assert around.run("log", str(tmp_path / "boot.log"))[0] == 0
        create, put = (json.loads(asked.body) for asked in around.aws.asked if "X-Amz-Target" in asked.headers)
        assert create == {"logGroupName": "/hearth/default", "logStreamName": INSTANCE}
        assert [event["message"] for event in put["logEvents"]] == [f"line {n}" for n in range(400, 500)]

    def test_log_uses_a_stream_that_exists(self, around: Surroundings, tmp_path: Path):
        (tmp_path / "boot.log").write_text("line\n")
        around.logs = (400, b'{"__type": "ResourceAlreadyExistsException"}')
        assert around.run("log", str(tmp_path / "boot.log"))[0] == 0
        assert around.aws.asked[-1].headers["X-Amz-Target"].endswith("PutLogEvents")

    def test_parameter_prints_the_value(self, around: Surroundings):
        assert around.run("parameter", "/hearth/default/token") == (0, "value of /hearth/default/token\n")
        assert json.loads(around.aws.asked[-1].body)["WithDecryption"] is True

    def test_parameter_fails_when_there_is_none(self, around: Surroundings):
        around.aws.answer = lambda _: (400, b"{}")
        assert around.run("parameter", "/hearth/default/token")[0] == 1

    @pytest.mark.parametrize("command", [[], ["watch", "out"], ["dance", "now"]])
    def test_a_command_that_does_not_exist_is_refused(self, around: Surroundings, command: list[str]):
        assert around.run(*command)[0] == 2


class TestSignature:
    @given(
        body=st.binary(max_size=200),
        token=st.sampled_from(["", "session/token=="]),
        service=st.sampled_from(["ec2", "logs", "ssm"]),
        path=st.sampled_from(["", "/", "/path"]),
        port=st.sampled_from(["", ":4566"]),
    )
    def test_it_is_the_one_that_botocore_makes(self, body: bytes, token: str, service: str, path: str, port: str):
        url = f"https://{service}.eu-central-1.amazonaws.com{port}{path}"
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParameter"}
        keys = {**KEYS, "Token": token}
        now = datetime.now(UTC)
        ours = machine_aws.signed_headers(service, "eu-central-1", url, headers, body, keys, now)
        request = AWSRequest("POST", url, headers=headers, data=body)
        request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
        credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], token or None)
        signer = SigV4Auth(credentials, service, "eu-central-1")
        signer._modify_request_before_signing(request)
        canonical = signer.canonical_request(request)
        signature = signer.signature(signer.string_to_sign(request, canonical), request)
        assert ours["Authorization"].endswith(f"Signature={signature}")
