"""A pytest plugin: what is imported while tests are collected stays until the end, and nobody looks for garbage in it.

That takes a third off the collection, which each worker makes anew, and off every collection of garbage after it.
"""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
