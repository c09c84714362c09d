"""Whatever surrounds the machine answers, the watchdog does its duty."""

import itertools
import signal

import pytest

from tests.support.infra.machine_stubs import Surroundings, free_port
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("feeds the machine's programs rubbish in processes of their own: 18 s in all")

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
