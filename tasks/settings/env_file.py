"""Prepare the environment: unset empty variables, and check and decode the file .env."""

import io
import logging
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import IO, Any

import dotenv
from pydantic_settings import DotEnvSettingsSource

from tasks.core.errors import InputError
from tasks.settings.trust import TRUST, is_honoured, refuse_strangers
from tasks.text.legible import decoded

ENV_FILE = ".env"
_UNSET = ("HEARTH_", "PREFECT_", "OLLAMA_", "LLAMA_API_", "AWS_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_", "XDG_")
_MOST_BYTES = 1_000_000
_NO_SETTING = re.compile(r"^[ \t]*(HEARTH_\w+)[ \t]*:", re.MULTILINE)
_log = logging.getLogger(__name__)
_values = dotenv.dotenv_values


def unset_empty() -> None:
    """Unset empty variables, which some libraries take for a path or a profile without a name."""
    for name, value in list(os.environ.items()):
        if not value and name.startswith(_UNSET):
            del os.environ[name]


def read_any_encoding() -> None:
    """Make every library in this process read .env in any encoding.

    Prefect reads .env on import, has no setting for its encoding, and cannot be imported beside a file in Latin-1.
    """
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # it warns about each line that it cannot parse
    provider: Any = sys.modules[DotEnvSettingsSource.__module__]
    readers: tuple[Any, ...] = (dotenv, dotenv.main, provider)
    for module in readers:
        module.dotenv_values = _dotenv_values


def values_in_env_file() -> dict[str, str]:
    """Return the variables in .env that are not empty.

    Raises:
        InputError: a line names a setting without a value, or strangers may write the file.
    """
    text = _text(Path(ENV_FILE))
    if wrong := _NO_SETTING.search(text):
        raise InputError(f"{wrong[1]} in .env has no value. Write it like {wrong[1]}=value.")
    values = {name: value for name, value in _values(stream=io.StringIO(text)).items() if value}
    if TRUST in values:
        raise InputError(f"{TRUST} has no effect in .env: no directory vouches for itself. Set it in the environment.")
    return values


def refuse_other_encodings() -> None:
    """Check that .env is UTF-8, as Prefect's own processes require.

    Raises:
        InputError: it has another encoding.
    """
    try:
        Path(ENV_FILE).read_bytes().decode()
    except UnicodeDecodeError:
        raise InputError(f"{Path(ENV_FILE).absolute()} is not UTF-8, and Prefect reads it. Save it as UTF-8.") from None
    except OSError:
        return


def _dotenv_values(
    dotenv_path: str | os.PathLike[str] | None = None,
    stream: IO[str] | None = None,
    verbose: bool = False,  # noqa: FBT001, FBT002 - the library's signature
    interpolate: bool = True,  # noqa: FBT001, FBT002 - the library's signature
    encoding: str | None = "utf-8",
) -> dict[str, str | None]:
    if stream is None and dotenv_path is not None:
        stream = io.StringIO(_text(Path(dotenv_path)))
    values = _values(None, stream, verbose, interpolate, encoding)
    return {name: value for name, value in values.items() if is_honoured(name)}


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            refuse_strangers(path, file.fileno())
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        _warn_once(f"{path.absolute()} cannot be read ({error.strerror}). Its settings are ignored.")
        return ""
    if len(content) > _MOST_BYTES:
        _warn_once(f"{path.absolute()} is larger than a megabyte. Its settings are ignored.")
        return ""
    return decoded(content).replace("\0", "")


@cache
def _warn_once(message: str) -> None:
    _log.warning(message)
