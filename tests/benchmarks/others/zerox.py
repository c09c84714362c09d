"""py-zerox: its own `process_pages_in_batches`, by which `zerox()` drives a server once the pages are images."""

import asyncio
import json
import os
import resource
import sys
import time

given = json.loads(sys.argv[1])
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OLLAMA_API_BASE": given["url"]}

import litellm  # noqa: E402 - it reads the environment when it is imported
from pyzerox.models import litellmmodel  # noqa: E402
from pyzerox.processor import process_pages_in_batches  # noqa: E402

MODEL = f"ollama/{given['model']}"


async def main() -> None:
    litellm.register_model(
        {MODEL: {"litellm_provider": "ollama", "mode": "chat", "supports_vision": True, "max_tokens": 4096}}
    )
    model = litellmmodel(model=MODEL, num_ctx=given["num_ctx"], keep_alive="600s", timeout=3600)
    images = [f"{number:05}.png" for number in range(1, given["pages"] + 1)]
    started, cpu = time.monotonic(), time.process_time()
    pages = await process_pages_in_batches(images, given["slots"], model, given["images"])
    ended, cpu = time.monotonic(), time.process_time() - cpu
    assert len(pages) == given["pages"]
    assert all(page[0] for page in pages), "a page was not read"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts in kB
    print(json.dumps({"started": started, "ended": ended, "cpu": cpu, "memory": memory}))  # noqa: T201


asyncio.run(main())
