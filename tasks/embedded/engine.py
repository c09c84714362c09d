"""Engines: functions from model weights to a reader of page images."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

from tasks.embedded.errors import EngineNotFoundError


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of a page, with the engine's confidence in it: from 0 to 1, or None if it is not known."""

    text: str
    confidence: float | None = None


Reader: TypeAlias = Callable[[bytes], str | PageText]
"""Turns image bytes into text. A reader serves one call at a time; several readers run side by side.

Raises ImageError for bytes that are not a readable image.
"""

Engine: TypeAlias = Callable[..., Reader]
"""Turns model weights into a reader. Called once per slot when the model loads, in a worker thread.

The default engine gets files of the model store, one for each language; any other engine the store's directory.
"""

DEFAULT_ENGINE = "tasks.embedded.tesseract:engine"


def find_engine(spec: str = DEFAULT_ENGINE) -> Engine:
    """Import and return the engine that `package.module:function` names.

    Raises:
        EngineNotFoundError: If the module cannot be imported or holds no such function.
    """
    module_name, _, function = spec.partition(":")
    try:
        engine = getattr(importlib.import_module(module_name), function)
    except (ImportError, ValueError, AttributeError) as error:
        raise EngineNotFoundError(f"no engine {spec!r}: expected package.module:function ({error})") from error
    if not callable(engine):
        raise EngineNotFoundError(f"no engine {spec!r}: {function} is not a function")
    return cast("Engine", engine)
