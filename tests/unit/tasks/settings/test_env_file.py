"""The file .env, Hearth's own or another program's, in whatever encoding."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.settings.env_file import refuse_other_encodings, unset_empty
from tasks.settings.settings import load_settings

SETTINGS = "NAME=café\nHEARTH_MODEL=modèle\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_env_file_is_read_in_any_encoding(tmp_path: Path, encoding: str):
    (tmp_path / ".env").write_bytes(SETTINGS.replace("\n", "\r\n").encode(encoding))
    assert load_settings().model == "modèle"


def test_a_byte_order_mark_hides_no_setting(tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfHEARTH_SLOTS=3\n")
    assert load_settings().slots == 3


@pytest.mark.parametrize(
    "content",
    [
        b"services:\n  web: {image: x}\n",
        b'{"a": 1}',
        b"\xff\xfe\x00\xd8x",
        b"\x00" * 50,
        b"a b c\n=\n'\nexport\n",
        b"x" * 2_000_000,
    ],
)
def test_lines_of_other_programs_are_ignored(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    usual = load_settings()
    (tmp_path / ".env").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load_settings() == usual
    assert len(caplog.records) <= 1
    out, err = capfd.readouterr()
    # Whoever has logs shown in this process is shown the warning, and nothing else is printed.
    assert (out, [line for line in err.splitlines() if "no setting is taken from it" not in line]) == ("", [])


def test_a_directory_named_env_is_ignored(tmp_path: Path):
    usual = load_settings()
    (tmp_path / ".env").mkdir()
    assert load_settings() == usual


def test_a_misspelt_setting_in_the_env_file_is_an_error(tmp_path: Path):
    (tmp_path / ".env").write_text("HEARTH_SLOT=3\n")
    with pytest.raises(InputError, match="There is no setting HEARTH_SLOT"):
        load_settings()


def test_a_setting_without_a_value_is_an_error(tmp_path: Path):
    (tmp_path / ".env").write_text("HEARTH_SLOTS: 3\n")
    with pytest.raises(InputError, match="Write it like HEARTH_SLOTS=value"):
        load_settings()


def test_prefect_reads_the_env_file_too(tmp_path: Path):
    """It has no setting for the encoding, and would not even be imported."""
    (tmp_path / ".env").write_bytes("NAME=café\nPREFECT_API_URL=http://far.example/api\n".encode("latin-1"))
    program = (
        "from tasks.settings.env_file import read_any_encoding; read_any_encoding();"
        "from prefect.settings import get_current_settings; print(get_current_settings().api.url)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "http://far.example/api\n", done.stderr


def test_prefects_own_processes_require_utf8(tmp_path: Path):
    refuse_other_encodings()
    (tmp_path / ".env").write_bytes(b"NAME=caf\xe9\n")
    with pytest.raises(InputError, match="is not UTF-8"):
        refuse_other_encodings()


@pytest.mark.parametrize("name", ["PREFECT_HOME", "AWS_PROFILE", "HEARTH_HOME", "XDG_CACHE_HOME", "OLLAMA_HOST"])
def test_an_empty_variable_is_unset_for_libraries(monkeypatch: pytest.MonkeyPatch, name: str):
    """Prefect took the working directory for its home, and botocore looked for a profile without a name."""
    monkeypatch.setenv(name, "")
    monkeypatch.setenv(f"{name}_MORE", "x")
    unset_empty()
    assert name not in os.environ
    assert f"{name}_MORE" in os.environ
