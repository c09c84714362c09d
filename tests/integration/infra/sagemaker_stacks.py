"""SageMaker stacks of both kinds, and what is in them."""

from __future__ import annotations

import pytest

from tests.support.infra.endpoints import endpoint

ASYNC = endpoint(model_data="s3://weights/store/")
MODELS = ("qwen2.5vl:7b", "gemma3:12b")
REALTIME = endpoint(serving="realtime", models=MODELS, max_copies=3, model_data="s3://weights/store/")


EITHER = pytest.mark.parametrize("stack", [ASYNC, REALTIME], ids=lambda stack: stack.serving)
