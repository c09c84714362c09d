"""`hearth read` and `hearth batch` with proxies, odd locales, other programs' files and credentials."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.ollama.scripted import ScriptedOllama, reads
from tests.support.relays import proxy

pytestmark = pytest.mark.long("each test runs the command: 3 to 14 s")

SECRET = "s3cret-of-the-server"
LATIN = os.fsdecode(b"caf\xe9.pdf")


@pytest.mark.parametrize(
    "environment",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "[fd12::1],fd00::/8"},
        {"HTTP_PROXY": "socks4://127.0.0.1:9", "SSL_CERT_FILE": "/missing.pem", "AWS_CA_BUNDLE": "/missing.pem"},
    ],
)
def test_proxies_and_missing_certificates_do_not_affect_servers_on_this_machine(
    hearth: Hearth, tmp_path: Path, environment: dict[str, str]
):
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one"), **environment)
    assert (outcome.code, outcome.json["read"], outcome.notes) == (0, 1, "")


def test_an_env_file_of_another_program_in_another_encoding_is_ignored(hearth: Hearth, tmp_path: Path):
    """In a new interpreter, because Prefect reads the file when it is imported."""
    hearth.anew = True
    (tmp_path / ".env").write_bytes(b"NAME=caf\xe9\nservices: {}\n")
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one"), HEARTH_SLOTS="", HEARTH_URL="")
    assert (outcome.code, outcome.notes) == (0, "")


def test_credentials_are_sent_to_the_server_only(hearth: Hearth, server: ScriptedOllama, tmp_path: Path):
    url = server.url.replace("http://", f"http://user:{SECRET}@")
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one"), HEARTH_URL=url, HEARTH_MODEL="qwen2.5vl:7b")
    assert outcome.code == 0, outcome.err
    assert {headers["authorization"].split()[0] for headers in server.headers} == {"Basic"}
    stored = [path.read_bytes() for path in Path(outcome.json["output"]).rglob("*") if path.is_file()]
    home = Path(hearth.environment["HEARTH_HOME"])
    stored += [path.read_bytes() for path in home.rglob("*") if path.is_file() and "models" not in path.parts]
    assert not [
        content for content in (*stored, outcome.out.encode(), outcome.err.encode()) if SECRET.encode() in content
    ]


def test_a_remote_server_is_used_through_a_socks_proxy(hearth: Hearth, server: ScriptedOllama, tmp_path: Path):
    with proxy(server.url) as (port, asked):
        outcome = hearth.read(
            pdfs.written(tmp_path / "a.pdf", "one"),
            HEARTH_URL="http://far.example",
            HEARTH_MODEL="qwen2.5vl:7b",
            ALL_PROXY=f"socks5://127.0.0.1:{port}",
        )
    assert outcome.code == 0, outcome.err
    assert set(asked) == {"far.example:80"}


def test_a_document_whose_name_is_not_utf8_is_read_once(hearth: Hearth, tmp_path: Path):
    pdfs.written(tmp_path / "a.pdf", "one").rename(tmp_path / LATIN)
    first = hearth.read(tmp_path / LATIN)
    assert (first.code, first.json["read"], first.notes) == (0, 1, "")
    assert first.manifest["document"]["path"] == f"{tmp_path.as_uri()}/caf%E9.pdf"
    again = hearth.read(f"{tmp_path.as_uri()}/caf%E9.pdf")
    assert (again.json["read"], again.json["read_now"]) == (1, 0)


def test_a_batch_lists_skipped_files_and_escapes_their_names(hearth: Hearth, tmp_path: Path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in (LATIN, "\x1b]0;title\x07.pdf", "two\nlines.pdf"):
        pdfs.written(tmp_path / "a.pdf", repr(name)).rename(inbox / name)
    (inbox / "._a.pdf").write_bytes(b"Mac OS X")
    (inbox / "link").symlink_to(tmp_path)
    outcome = hearth("batch", inbox)
    assert outcome.code == 0, outcome.err
    assert outcome.notes.splitlines()[0] == (
        f"Note: {inbox}/link is a link to a folder, and not followed. Name the folder to have it read."
    )
    assert "3: 3 read" in outcome.err
    (report,) = (tmp_path / "results" / "batches").glob("*.md")
    assert r"\x1b]0;title\x07.pdf" in report.read_text().replace("\\\\", "\\")
    assert "\x1b" not in outcome.err + report.read_text() + report.with_suffix(".csv").read_text()


@pytest.mark.parametrize(("redirected", "code"), [("| head -1 >&2", 0), (">/dev/full", 1), (">&-", 0)])
def test_the_exit_code_depends_on_the_pages_unless_the_text_cannot_be_written(
    hearth: Hearth, server: ScriptedOllama, tmp_path: Path, redirected: str, code: int
):
    server.answers(
        "/api/generate", reads("\n".join(sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(2000)))
    )
    path = pdfs.written(tmp_path / "a.pdf", "one")
    environment = {**hearth.environment, "HEARTH_URL": server.url, "HEARTH_MODEL": "qwen2.5vl:7b"}
    assert hearth.read(path, **environment).code == 0  # what is stored is printed without a run of Prefect's
    command = f'{{ "{sys.executable}" -P -m flows.cli.main read "{path}" --text; echo "code $?" >&2; }} {redirected}'
    done = subprocess.run(
        ["sh", "-c", command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"code {code}\n" in done.stderr
    assert "Traceback" not in done.stderr
