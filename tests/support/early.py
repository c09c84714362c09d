"""A pytest plugin: what all workers would wait for one after the other is begun while they collect their tests."""

from __future__ import annotations

import threading

import pytest

from tests.support import forkserver
from tests.support.prefect_home import template

_begun: list[threading.Thread] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the fork server, and have the database of every Prefect server made; where several workers run all."""
    config = session.config
    everything = config.args_source is config.ArgsSource.TESTPATHS
    if everything and getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        forkserver.begin()
        _begun.append(threading.Thread(target=template, daemon=True))
        _begun[0].start()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Wait for it: what it starts is not left over."""
    for thread in _begun:
        thread.join()
