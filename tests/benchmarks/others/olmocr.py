"""olmOCR: its own `process_single_pdf`, by which a worker drives a server with the pages of one PDF.

Only the rendering is replaced, by one that reads the image that was rendered before, as for the other rivals; and
`--max_concurrent_requests` is the number of slots.
"""

import argparse
import asyncio
import base64
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path

given = json.loads(sys.argv[1])
sys.path.pop(0)  # this directory, in which there is an olmocr.py
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
logging.disable(logging.WARNING)

from olmocr import pipeline  # noqa: E402


def rendered(_path: str, page: int, **_: object) -> str:
    return base64.b64encode((Path(given["images"]) / f"{page:05}.png").read_bytes()).decode()


async def main() -> None:
    pipeline.render_pdf_to_base64png = rendered
    pipeline.max_concurrent_requests_limit = asyncio.BoundedSemaphore(given["slots"])
    arguments = argparse.Namespace(
        server=f"{given['url']}/v1",
        api_key=None,
        model=given["model"],
        target_longest_image_dim=1288,
        guided_decoding=False,
        max_page_retries=8,
        max_page_error_rate=0.004,
        apply_filter=False,
    )
    started, cpu = time.monotonic(), time.process_time()
    document = await pipeline.process_single_pdf(arguments, 0, given["pdf"], given["pdf"])
    ended, cpu = time.monotonic(), time.process_time() - cpu
    assert document is not None
    assert document["metadata"]["total-fallback-pages"] == 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts in kB
    print(json.dumps({"started": started, "ended": ended, "cpu": cpu, "memory": memory}))  # noqa: T201


asyncio.run(main())
