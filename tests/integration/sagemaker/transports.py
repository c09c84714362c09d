"""A request through SageMaker, and a picture of some size."""

from __future__ import annotations

import io

from PIL import Image

from tasks.inference.schema import GenerateRequest
from tests.support.aws.container import MODEL

NAME, COMPONENT = "hearth-test", "hearth-test-tesseract"
REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=99, keep_alive=600)


def picture(side: int = 9) -> bytes:
    written = io.BytesIO()
    Image.new("L", (side, side), 255).save(written, "PNG")
    return written.getvalue()
