"""Local copies of documents under s3://."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import DocumentError, LimitError, StorageError
from tasks.documents.pdf import open_document
from tasks.settings.reading import LimitSettings
from tasks.storage.downloads import local_copy
from tests.integration.s3.papers import PAPER, ROOT, stored
from tests.support import pdfs
from tests.support.aws.buckets import BUCKET
from tests.support.aws.faults import denied
from tests.support.aws.front import AwsFront

pytestmark = pytest.mark.long("S3 for each test: up to 4 s")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def test_a_document_has_a_copy_until_it_is_closed(s3: Any, copies: Path, tmp_path: Path):
    s3.upload_file(str(pdfs.written(tmp_path / "paper.pdf", "one", "two")), BUCKET, PAPER.key)
    file = local_copy(PAPER, copies, 10)
    document = open_document(file.path, LimitSettings(), place=PAPER)
    assert (document.path, document.name, document.pages) == (PAPER, "paper", 2)
    file.close()
    gc.collect()
    assert list(copies.iterdir()) == []


def test_simultaneous_readers_share_the_copy(s3: Any, aws: AwsFront, copies: Path):
    stored(s3, PAPER.key)
    one, other = local_copy(PAPER, copies, 10), local_copy(PAPER, copies, 10)
    one.close()
    gc.collect()
    assert other.path.read_bytes() == PAPER.key.encode()
    assert len(aws.called("GET")) == 1


@pytest.mark.always
def test_a_document_that_changed_is_copied_anew(s3: Any, copies: Path):
    stored(s3, PAPER.key)
    old = local_copy(PAPER, copies, 10)
    s3.put_object(Bucket=BUCKET, Key=PAPER.key, Body=b"changed")
    assert local_copy(PAPER, copies, 10).path.read_bytes() == b"changed"
    assert old.path.read_bytes() == PAPER.key.encode()


KILLED = """
import os, sys
from pathlib import Path
from tasks.storage.downloads import local_copy
from tasks.storage.files import S3Path
file = local_copy(S3Path.parse(sys.argv[1]), Path(sys.argv[2]), 10)
os.kill(os.getpid(), 9)
"""


def test_the_next_run_removes_the_copy_of_a_killed_run(s3: Any, copies: Path):
    stored(s3, PAPER.key)
    subprocess.run([sys.executable, "-c", KILLED, str(PAPER), str(copies)], check=False, cwd=ROOT)
    (left,) = copies.iterdir()
    file = local_copy(PAPER, copies, 10)
    assert list(copies.iterdir()) == [file.path] != [left]


def test_a_document_over_the_limit_is_not_copied(s3: Any, aws: AwsFront, copies: Path):
    s3.put_object(Bucket=BUCKET, Key=PAPER.key, Body=b"x" * 1_000_001)
    with pytest.raises(LimitError, match=r"paper\.pdf has 1 MB; .*HEARTH_LIMITS__FILE_MB"):
        local_copy(PAPER, copies, 1)
    assert aws.called("GET") == []


def test_a_missing_document_is_named(s3: Any, copies: Path):
    with pytest.raises(DocumentError, match=r"s3://papers/inbox/paper\.pdf does not exist"):
        local_copy(PAPER, copies, 1)


def test_a_document_without_permission_is_named(s3: Any, aws: AwsFront, copies: Path):
    stored(s3, PAPER.key)
    aws.inject(denied(), "GET", "HEAD", times=None)
    with pytest.raises(DocumentError, match=r"paper\.pdf cannot be read: AWS does not permit it\. Allow"):
        local_copy(PAPER, copies, 1)


def test_a_folder_that_cannot_hold_a_copy_is_named(s3: Any, tmp_path: Path):
    stored(s3, PAPER.key)
    (tmp_path / "taken").touch()
    with pytest.raises(StorageError, match=r"cannot be copied to .*taken.*HEARTH_HOME"):
        local_copy(PAPER, tmp_path / "taken" / "copies", 1)


def test_an_invalid_pdf_is_named_by_its_s3_path(s3: Any, copies: Path):
    stored(s3, PAPER.key)
    file = local_copy(PAPER, copies, 10)
    with pytest.raises(DocumentError, match=r"^s3://papers/inbox/paper\.pdf is not a PDF"):
        open_document(file.path, LimitSettings(), place=PAPER)
