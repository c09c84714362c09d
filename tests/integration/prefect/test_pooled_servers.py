"""One run shares its pages between servers, and sends fewer requests at once to a server in trouble."""

from __future__ import annotations

import math
import time

import pytest

from tests.integration.prefect import shared
from tests.integration.prefect.shared import Readers, whole
from tests.support.ollama.counting import CountingOllama, most, sent

pytestmark = pytest.mark.long("each test reads with several servers: 10 to 12 s")

readers, counting = shared.readers, shared.counting


class TestTwoServers:
    def test_both_servers_are_busy_and_the_faster_one_reads_more(self, readers: Readers, counting):
        quick, slow = counting(2, 0.3), counting(2, 1.2)
        for server in (quick, slow):
            server.stuck.update(range(1, 31))
        readers.start(1, [quick, slow], 30, "--slots", "2")
        readers.until(lambda: quick.held == slow.held == 2)
        for server in (quick, slow):
            server.stuck.clear()
        assert whole(readers.outcome(1), 30)
        assert most(sent(quick.pages)) == most(sent(slow.pages)) == 2
        assert most(sent(quick.pages + slow.pages)) == 4
        assert len(quick.pages) > len(slow.pages)

    def test_a_page_that_is_stuck_on_one_server_is_read_by_the_other(self, readers: Readers, counting):
        servers = [counting(2, 0.2), counting(2, 0.2)]
        for server in servers:
            server.stuck.add(13)
        readers.start(1, servers, 24, "--slots", "2")

        def holding() -> list[CountingOllama]:
            return [server for server in servers if any(note.page == 13 for note in server.pages)]

        readers.until(lambda: bool(holding()))
        (holder,) = holding()
        for server in servers:
            if server is not holder:
                server.stuck.clear()
        outcome = readers.outcome(1)
        assert whole(outcome, 24)
        assert sorted(note.status for server in servers for note in server.pages if note.page == 13) == [0, 200]
        assert outcome.page(13)["status"] == "read"


class TestAServerInTrouble:
    @pytest.mark.long("reads many pages")
    @pytest.mark.parametrize("status", [503, 500])
    def test_a_server_that_refuses_requests_gets_fewer_and_later_as_many_as_before(
        self, readers: Readers, counting, status: int
    ):
        server, bears = counting(16, 1.0), 8
        readers.start(1, [server], 600, "--slots", "16")
        readers.until(lambda: server.held == 16)
        server.refuses = lambda held: status if held > bears else 0
        # Until it has learned how many it bears: the last answers are no refusals any more.
        readers.until(lambda: _answered(server).count(status) > 0 and set(_answered(server)[-bears:]) == {200})
        before = len(server.pages)
        readers.until(lambda: len(server.pages) > before + 64)
        meanwhile = [note.status for note in server.pages[before:]]
        # Every page that waits would be refused again and again by a server that is asked as if nothing were.
        assert meanwhile.count(status) < 0.1 * meanwhile.count(200)
        # Long pages: to have all slots busy asks little of a machine that is busy itself.
        server.refuses, server.seconds = lambda _held: 0, lambda _page: 2.0
        readers.until(lambda: server.held == 16)

    @pytest.mark.long("reads many pages")
    def test_a_server_that_slows_down_gets_fewer_requests_and_later_as_many_as_before(self, readers: Readers, counting):
        server = counting(8, 1.0)
        readers.start(1, [server], 400, "--slots", "8")
        readers.until(lambda: sum(note.status == 200 for note in server.pages) > 24)
        server.seconds = lambda _page: 10.0
        readers.until(lambda: server.held <= 4 and _seconds_since_received(server) > 0.5)
        server.seconds = lambda _page: 1.0
        readers.until(lambda: server.held == 8)


def _answered(server: CountingOllama) -> list[int]:
    """The statuses of the answers so far, in their order."""
    return [note.status for note in sorted(server.pages, key=lambda note: note.ended or math.inf) if note.ended]


def _seconds_since_received(server: CountingOllama) -> float:
    return time.monotonic() - server.pages[-1].received
