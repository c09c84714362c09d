"""The log of a server that is up for long is begun anew when it has grown long, and one old one is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tasks.backends.local import watchdog
from tasks.backends.local.watchdog import ServerDirectory, Watchdog
from tests.support.waiting import until

# All lines in one write; the last one when the log has been begun anew.
TALKS = """
seq -f 'a line that has its number %g' 0 399 > "$1.lines"; cat "$1.lines"
until [ -s "$1.old" ] && [ ! -s "$1" ]; do sleep 0.05; done; echo the last
"""


def test_a_log_never_grows_beyond_its_limit_and_ends_with_the_newest_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watchdog, "MOST_LOG_BYTES", 5000)
    monkeypatch.setattr(watchdog.signal, "signal", lambda *_: None)  # as this is no main thread
    directory = ServerDirectory(tmp_path)
    server = Watchdog(directory, "http://127.0.0.1:1", 600, {}, ["sh", "-c", TALKS, "sh", str(directory.log)])
    running = threading.Thread(target=server.run)
    running.start()
    until(lambda: directory.last_log.exists() and directory.last_log.stat().st_size > 5000)
    running.join()
    assert directory.log.read_bytes() == b"the last\n"
    assert directory.last_log.read_text().endswith("number 399\n")
