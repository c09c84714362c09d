"""Prefect on a real PostgreSQL, with several documents at once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.prefect.hearth_up import Up, brought_up
from tests.support.pdfs import written
from tests.support.tools import INITDB, needs
from tests.support.waiting import until

pytestmark = [
    pytest.mark.long("starts PostgreSQL, Prefect and a worker"),
    pytest.mark.timeout(1800),
    needs(INITDB),
]


@pytest.fixture(scope="module")
def database() -> Iterator[int]:
    """The port of a PostgreSQL of its own."""
    programs = Path(INITDB.command).resolve().parent
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # It refuses to be root's, and its directory must be its user's.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="hearth-postgres-") as directory:
        if user:
            shutil.chown(directory, user)
        data = Path(directory) / "data"
        made = [programs / "initdb", "--pgdata", data, "--auth", "trust", "--username", "prefect", "--no-sync"]
        subprocess.run(made, user=user, cwd=directory, check=True, capture_output=True)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", directory]
        with subprocess.Popen(
            [programs / "postgres", "-D", data, *options],
            user=user,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            try:
                until(lambda: subprocess.run(ready, check=False).returncode == 0)
                yield port
            finally:
                server.terminate()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, database: int) -> Iterator[Up]:
    url = f"postgresql+asyncpg://prefect@127.0.0.1:{database}/postgres"
    with brought_up(tmp_path_factory.mktemp("up"), PREFECT_API_DATABASE_CONNECTION_URL=url) as up:
        yield up


async def test_simultaneous_documents_are_read_and_recorded_in_postgresql(up: Up, database: int, tmp_path: Path):
    asked = {}
    for number in range(4):
        pdf = written(tmp_path / f"paper-{number}.pdf", *(f"Page {page} of {number}." for page in range(10)))
        asked[up.run("process-document/on-demand", job={"document": str(pdf)})] = f"paper-{number}, all pages"
    assert {run: up.ended(run)["state_name"] for run in asked} == dict.fromkeys(asked, "Completed")
    connection = await asyncpg.connect(host="127.0.0.1", port=database, user="prefect", database="postgres")
    try:
        rows = await connection.fetch(
            "SELECT id::text, name, state_name FROM flow_run WHERE id = ANY($1::uuid[])", list(asked)
        )
    finally:
        await connection.close()
    assert {row["id"]: row["name"] for row in rows} == asked
    assert {row["state_name"] for row in rows} == {"Completed"}
