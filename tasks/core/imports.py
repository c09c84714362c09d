"""Imports without a look for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import in the body without looking for garbage: modules stay, and Prefect's are a million objects.

    Python would look through all of them again and again during the imports, during the run, and at the end: of
    `from prefect import flow`, that is a quarter of the processor time (measured). What the body has made is never
    looked at again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
