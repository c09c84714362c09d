"""`python -m tests.benchmarks.chaos_worker`: flow runs, several at once, in one process.

A line of JSON on its input is a job; when its run has ended, a line on its output tells the document and the error, if
there was one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from flows.process_document import process_document
from tasks.core.jobs import Job


async def main() -> None:
    """Run until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            group.create_task(_run(json.loads(line)))


async def _run(job: dict[str, Any]) -> None:
    error = ""
    try:
        # Prefect's types do not know that an async flow's state is awaited, too.
        state: Any = await process_document(Job(**job), return_state=True)  # type: ignore[misc]
        if not state.is_completed() or state.name != "Completed":
            error = f"{state.name}: {await state.aresult(raise_on_failure=False)!r}"
    except Exception as met:  # noqa: BLE001 - whatever it is, the document is told to have met it
        error = repr(met)
    print(json.dumps({"document": job["document"], "error": error[:600]}), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
