"""Many simultaneous clients of the HTTP API, with a real Prefect server on SQLite and a real worker."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.prefect.web_backend import serving_api
from tests.support import pdfs
from tests.support.commands import PrefectServer
from tests.support.waiting import PATIENCE, until

_CALLERS = 30


@pytest.mark.long("thirty runs of a worker, while SQLite takes one writer at a time")
def test_thirty_simultaneous_clients_are_served_and_their_documents_are_read(
    session_prefect: PrefectServer, tmp_path: Path
):
    documents = [pdfs.written(tmp_path / "a.pdf", f"One of {uuid4()}.").read_bytes() for _ in range(_CALLERS)]
    with serving_api(tmp_path, session_prefect.api) as backend:
        with ThreadPoolExecutor(_CALLERS) as pool:
            posts = list(pool.map(backend.post, documents))
        assert Counter(post.status_code for post in posts) == {202: _CALLERS}, [post.text for post in posts]
        requests = {post.json()["id"] for post in posts}

        def shown() -> Counter[str]:
            return Counter(backend.get(f"/documents/{request}").json().get("status") for request in requests)

        until(lambda: not shown().keys() & {"waiting", "reading"}, seconds=3 * PATIENCE, every=2.0)
        assert shown() == {"complete": _CALLERS}
        runs = {backend.get(f"/documents/{request}").json()["run"] for request in requests}
    made = session_prefect("flow_runs", flow_runs={"id": {"any_": sorted(runs)}}, limit=200)
    assert Counter(run["state"]["name"] for run in made) == {"Completed": _CALLERS}
    assert {run["run_count"] for run in made} == {1}
