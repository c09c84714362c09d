"""What stands on disk after a page, a run, a crash and a full disk; and which page is the same as which."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import FailureReason, OutputError, StorageError
from tasks.core.events import Progress, subscribe
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import BackendName, Document, Plan, ReadOptions
from tasks.results.manifest import Listing, Manifest, RunStatus
from tasks.results.page import Attempt, PageEntry, PageResult, PageStatus
from tasks.results.store import ResultStore, results_directory
from tests.support.waiting import PATIENCE

DIGEST = "d" * 64
DOCUMENT = Document(path=Path("/papers/paper.pdf"), sha256="a" * 64, pages=9, size=1000)
OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=1288, num_ctx=8192, num_predict=4096)


def planned(**changes: Any) -> Plan:
    return Plan(
        **{
            "document": DOCUMENT,
            "numbers": (1, 2, 3),
            "backend": BackendName.URL,
            "model": "qwen2.5vl:7b",
            "options": OPTIONS,
            "output": Path("/results"),
            "slots": 4,
            "attempts": 3,
            "force": False,
            "require_gpu": False,
        }
        | changes
    )


def page(number: int, text: str = "Hello.", digest: str = DIGEST, **changes: Any) -> PageResult:
    facts: dict[str, Any] = {
        "page": number,
        "identity": planned().identity(number, digest),
        "status": PageStatus.READ,
        "text": text,
        "model": "qwen2.5vl:7b",
        "digest": digest,
        "finished_at": datetime(2026, 11, 1, tzinfo=UTC),
    }
    return PageResult(**facts | changes)


def failed(number: int) -> PageResult:
    return page(number, "", status=PageStatus.FAILED, reason=FailureReason.TRUNCATED, detail="The answer was cut off.")


def blank(number: int) -> PageResult:
    return page(number, "", status=PageStatus.BLANK)


def manifest(store: ResultStore, *results: PageResult) -> Manifest:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return Manifest(
        status=RunStatus.COMPLETE,
        document=DOCUMENT,
        model="qwen2.5vl:7b",
        digest=DIGEST,
        options=OPTIONS,
        endpoint=None,
        pages=Listing.of(map(PageEntry.of, results), store.manifest_path),
        read_now=len(results),
        started_at=now,
        finished_at=now,
        output=Path("/results"),
    )


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path / "results" / "paper-aaaaaaaaaaaa")
    store.prepare()
    return store


def files(store: ResultStore) -> set[str]:
    """Every file under the store, the lock aside."""
    found = (path for path in store.directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(store.directory)) for path in found}


def breaking(error: Exception, *numbers: int) -> Iterator[int]:
    """Page numbers, and then an error in the middle of the write that asks for them."""
    yield from numbers
    raise error


# Where the results go


def test_the_directory_is_named_for_the_document_and_its_bytes(tmp_path):
    assert results_directory(tmp_path, DOCUMENT) == tmp_path / "paper-aaaaaaaaaaaa"


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120))
def test_any_document_name_gives_a_plain_directory_name(name):
    document = DOCUMENT.model_copy(update={"path": Path("/papers") / f"x{name}.pdf"})
    directory = results_directory(Path("/results"), document)
    assert directory.parent == Path("/results")
    assert not set(directory.name) & set(" /\\:*?\"'<>|\n\0")
    assert len(directory.name) <= 113


def test_preparing_twice_keeps_what_stands(store):
    store.write_page(page(1))
    store.prepare()
    assert store.page(1) == page(1)


@pytest.mark.parametrize("directory", ["taken/by/a/file", "/proc/hearth"])
def test_a_directory_that_cannot_be_made_is_named_with_a_remedy(tmp_path, directory):
    (tmp_path / "taken").touch()
    with pytest.raises(OutputError, match=f"{directory}: .*--output") as caught:
        ResultStore(tmp_path / directory).prepare()
    assert caught.value.exit_code == 2


# Pages


def test_a_page_reads_back_as_it_was_written(store):
    result = page(2, "Grüße ∑ 漢字 \N{GRINNING FACE}\n\n| a | b |")
    store.write_page(result)
    assert store.page(2) == result


@pytest.mark.parametrize(
    "forged",
    [
        "<!-- page 2 -->",
        "<!--page 2-->",
        "<!-- PAGE 2, blank -->",
        "<!--\n page 2 -->",
        "<!--\N{NO-BREAK SPACE}page 2 -->",
        "<!-- page 1, failed: truncated -->",
        "an open comment <!--",
        "<!<!-- page 2 -->",
    ],
)
def test_a_pages_text_forges_no_marker_and_hides_none(store, forged):
    store.write_page(page(1, f"before\n{forged}\nafter"))
    store.write_page(page(2, "the second"))
    document = "".join(store.sections([1, 2]))
    assert re.findall(r"<!--.*?-->", document, re.DOTALL) == ["<!-- page 1 -->", "<!-- page 2 -->"]
    assert store.page(1).text == f"before\n{forged}\nafter"


def partial(number: int, text: str) -> PageResult:
    flag = Flag(name=FlagName.PARTIAL, detail="the text is what its last attempts gave")
    return failed(number).model_copy(update={"text": text, "flags": (flag,)})


def test_what_a_failed_page_gave_is_in_the_text_behind_a_marker_of_its_own(store):
    store.write_page(partial(1, "And so"))
    assert list(store.sections([1])) == ["<!-- page 1, failed: truncated, partial -->\n\nAnd so\n\n"]
    assert store.missing(planned(numbers=(1,)), DIGEST) == (1,)
    assert PageEntry.of(store.page(1)).why == "The answer was cut off; partial: the text is what its last attempts gave"


def flagged(number: int) -> PageResult:
    return page(number, flags=(Flag(name=FlagName.DAMAGED, detail="half of it is missing"),))


def test_flags_are_kept(store):
    store.write_page(flagged(1))
    assert store.page(1) == flagged(1)


def test_a_page_without_flags_is_understood_by_versions_that_know_none(store):
    store.write_page(page(1))
    assert "flags" not in json.loads((store.directory / "pages/0001.json").read_text())


def test_strictly_a_flagged_page_has_failed_and_its_text_is_left_out(store):
    store.write_page(page(1))
    store.write_page(flagged(2))
    one, two = store.results([1, 2], strict=True)
    assert one == page(1)
    assert (two.status, two.reason) == (PageStatus.FAILED, FailureReason.FLAGGED)
    assert two.detail == "damaged: half of it is missing"
    assert list(store.sections([2], strict=True)) == ["<!-- page 2, failed: flagged -->\n\n"]
    assert list(store.sections([2])) == ["<!-- page 2 -->\n\nHello.\n\n"]


def test_the_flagged_pages_of_a_manifest_are_counted_and_found(store):
    written = write_manifest(store, page(1), flagged(2), failed(3))
    assert written.pages.flagged == 1
    assert [entry.page for entry in written.flagged(5)] == [2]


def test_a_page_file_is_json_that_tells_its_schema(store):
    store.write_page(page(12))
    stored = json.loads((store.directory / "pages" / "0012.json").read_text())
    assert (stored["schema_version"], stored["page"], stored["status"]) == (1, 12, "read")


def test_what_is_stored_is_its_owners_alone(store):
    store.write_page(page(1))
    written = store.directory / "pages" / "0001.json"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (store.directory, written.parent, written)]
    assert modes == [0o700, 0o700, 0o600]


def test_a_later_result_replaces_an_earlier_one(store):
    store.write_page(page(1, "once"))
    store.write_page(page(1, "twice"))
    assert store.page(1).text == "twice"
    assert files(store) == {"pages/0001.json"}


def write_manifest(store: ResultStore, *results: PageResult) -> Manifest:
    written = manifest(store, *results)
    store.write_manifest(written, map(PageEntry.of, results))
    return written


@pytest.mark.parametrize("results", [(), (page(1),), (page(1), failed(2), blank(4))], ids=["none", "one", "several"])
def test_the_manifest_reads_back_as_it_was_written(store, results):
    written = write_manifest(store, *results)
    assert store.manifest() == written


def test_the_manifest_lists_each_page_in_its_file(store):
    write_manifest(store, page(1), failed(2), blank(4))
    stored = json.loads(store.manifest_path.read_text())
    assert [(entry["page"], entry["status"]) for entry in stored["pages"]] == [(1, "read"), (2, "failed"), (4, "blank")]
    assert stored["pages"][1] == PageEntry.of(failed(2)).model_dump(mode="json")
    assert (stored["schema_version"], stored["document"]["pages"]) == (1, 9)


def test_the_pages_of_a_manifest_are_counted_and_listed(store):
    results = (page(1, tokens_in=300, tokens_out=20), failed(2), blank(4), page(5, tokens_in=1))
    write_manifest(store, *results)
    told = store.manifest()
    assert list(told.pages) == list(map(PageEntry.of, results))
    assert (len(told.pages), told.count(PageStatus.READ), told.count(PageStatus.BLANK)) == (4, 2, 1)
    assert (told.failed, told.count(PageStatus.FAILED)) == ((PageEntry.of(failed(2)),), 1)
    assert (told.totals()["tokens_in"], told.totals()["tokens_out"]) == (301, 20)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_manifest_that_is_cut_off_is_as_none(store, kept):
    write_manifest(store, page(1), page(2), failed(3))
    whole = store.manifest_path.read_bytes()
    store.manifest_path.write_bytes(whole[: int(len(whole) * kept)])
    assert store.manifest() is None


@pytest.mark.parametrize(("old", "new"), [('"page":2', '"page":"two"'), ('"schema_version": 1', '"schema_version": 2')])
def test_a_manifest_that_cannot_be_understood_is_as_none(store, old, new):
    write_manifest(store, page(1), page(2))
    told = store.manifest_path.read_text()
    assert old in told
    store.manifest_path.write_text(told.replace(old, new))
    assert store.manifest() is None


def test_a_manifest_whose_pages_cannot_be_read_leaves_the_old_one(store):
    before = write_manifest(store, page(1))

    def entries() -> Iterator[PageEntry]:
        yield PageEntry.of(page(2))
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StorageError):
        store.write_manifest(manifest(store, page(2)), entries())
    assert store.manifest() == before
    assert files(store) == {"manifest.json"}


def test_neither_writing_nor_reading_a_manifest_holds_its_pages(store):
    """3,000 entries of 8 kB: held at once, they would be 24 MB."""
    attempts = tuple(Attempt(temperature=0.0, seconds=1.0, detail=f"{number}" * 100) for number in range(50))
    entries = (PageEntry.of(page(number, attempts=attempts)) for number in range(3000))
    tracemalloc.start()
    try:
        store.write_manifest(manifest(store), entries)
        assert store.manifest().pages.read == 3000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_there_is_no_manifest_before_the_first_run_ends(tmp_path):
    assert ResultStore(tmp_path / "none").manifest() is None


# Which pages are still to be read


def test_every_page_of_a_new_document_is_missing(tmp_path):
    assert ResultStore(tmp_path / "none").missing(planned(), DIGEST) == (1, 2, 3)


def test_a_page_that_was_read_or_is_blank_is_not_missing(store):
    store.write_page(page(1))
    store.write_page(blank(2))
    assert store.missing(planned(), DIGEST) == (3,)


def test_a_page_that_failed_is_missing(store):
    store.write_page(failed(1))
    assert store.missing(planned(numbers=(1,)), DIGEST) == (1,)


def test_a_page_that_was_read_in_another_way_is_missing(store):
    store.write_page(page(1))
    hotter = OPTIONS.model_copy(update={"prompt": "Translate."})
    assert store.missing(planned(numbers=(1,), options=hotter), DIGEST) == (1,)


def test_a_page_that_another_model_read_is_missing(store):
    store.write_page(page(1))
    assert store.missing(planned(numbers=(1,)), "e" * 64) == (1,)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "null",
        lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
        lambda text: text.replace("Hello", "\udcff"),
    ],
    ids=["empty", "cut off", "another thing", "a later schema", "not UTF-8"],
)
def test_a_page_that_cannot_be_understood_is_missing(store, damage: Callable[[str], str]):
    store.write_page(page(1))
    path = store.directory / "pages" / "0001.json"
    path.write_text(damage(path.read_text()), errors="surrogateescape")
    assert store.missing(planned(numbers=(1,)), DIGEST) == (1,)


def test_a_page_file_that_cannot_be_read_is_named(store):
    (store.directory / "pages" / "0001.json").mkdir()
    with pytest.raises(OutputError, match=r"0001\.json cannot be read: .*--output"):
        store.missing(planned(), DIGEST)


# document.md


def test_the_document_has_its_pages_in_order_behind_markers(store):
    for result in (page(3, "the end"), page(1, "# Title"), failed(2), blank(4)):
        store.write_page(result)
    store.write_document((1, 2, 3, 4))
    assert store.document_path.read_text() == (
        "<!-- page 1 -->\n\n# Title\n\n"
        "<!-- page 2, failed: truncated -->\n\n"
        "<!-- page 3 -->\n\nthe end\n\n"
        "<!-- page 4, blank -->\n\n"
    )


def test_a_page_without_result_is_left_out_of_the_document(store):
    store.write_page(page(2, "two"))
    store.write_document((1, 2))
    assert store.document_path.read_text() == "<!-- page 2 -->\n\ntwo\n\n"


# Whole or not at all


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (OSError(errno.EIO, "Input/output error"), StorageError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(store, error, raised):
    store.write_page(page(1, "the old text"))
    store.write_document((1,))
    before = store.document_path.read_text()
    with pytest.raises(raised):
        store.write_document(breaking(error, 1, 1))
    assert store.document_path.read_text() == before
    assert files(store) == {"document.md", "pages/0001.json"}


def test_a_page_that_cannot_be_read_leaves_no_half_document(store):
    store.write_page(page(1))
    (store.directory / "pages" / "0002.json").mkdir()
    with pytest.raises(OutputError):
        store.write_document((1, 2))
    assert files(store) == {"pages/0001.json"}


def test_a_full_disk_says_to_make_room_and_that_the_pages_stand(store):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match=r"document\.md cannot be written: No space .*Make room.*stand") as caught:
        store.write_document(breaking(full))
    assert caught.value.exit_code == 1


def test_a_directory_that_went_away_says_to_mend_it(store):
    shutil.rmtree(store.directory)
    with pytest.raises(StorageError, match=r"0001\.json cannot be written: .*Mend the directory"):
        store.write_page(page(1))


FULL_DISK = """
import sys
from pathlib import Path
from tasks.core.errors import StorageError
from tests.unit.tasks.results.test_store import ResultStore, page
store = ResultStore(Path(sys.argv[1]))
store.prepare()
store.write_page(page(1, "kept"))
try:
    store.write_page(page(1, "x" * 1_000_000))
except StorageError as error:
    print(error)
print(store.page(1).text, sorted(path.name for path in (store.directory / "pages").iterdir()))
"""


def test_a_disk_that_is_really_full_keeps_the_old_page_and_no_temporary(small_disk):
    command = [*small_disk.prefix, sys.executable, "-c", FULL_DISK, str(small_disk.directory)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    told, kept = done.stdout.splitlines()
    assert "No space left on device. Make room" in told
    assert kept == "kept ['0001.json']"


# After a kill, and beside another run


@pytest.mark.parametrize("leftover", [".manifest.json.k1ll3d.tmp", "pages/.0001.json.k1ll3d.tmp"])
async def test_what_a_killed_run_left_half_written_is_cleared_by_the_next(store, leftover):
    store.write_page(page(1))
    (store.directory / leftover).write_text('{"schema_ver')
    store.prepare()
    async with store.turn():
        assert files(store) == {"pages/0001.json"}


async def test_what_another_run_is_writing_just_now_is_left_alone(store):
    async with store.turn():
        writing = store.directory / "pages" / ".0001.json.other.tmp"
        writing.touch()
        ResultStore(store.directory).prepare()
        assert writing.exists()


async def test_two_runs_of_one_document_take_turns(store, monkeypatch):
    monkeypatch.setattr("tasks.storage.local._TURN_POLL_SECONDS", 0.01)
    told: list[Any] = []
    order: list[str] = []
    waits = asyncio.Event()

    def hear(event: Any) -> None:
        told.append(event)
        waits.set()

    async def second() -> None:
        with subscribe(hear):
            async with ResultStore(store.directory).turn():
                order.append("second has it")

    async with store.turn():
        other = asyncio.create_task(second())
        await waits.wait()
        order.append("first had it")
    await other
    assert order == ["first had it", "second has it"]
    assert set(told) == {Progress("waiting for another run that reads this document")}


async def test_a_turn_ends_with_the_error_that_ends_its_run(store):
    with pytest.raises(RuntimeError):
        async with store.turn():
            raise RuntimeError
    async with asyncio.timeout(PATIENCE), ResultStore(store.directory).turn():
        pass


async def test_runs_of_different_documents_do_not_wait(store, tmp_path):
    other = ResultStore(tmp_path / "results" / "letter-bbbbbbbbbbbb")
    other.prepare()
    async with asyncio.timeout(PATIENCE), store.turn(), other.turn():
        pass


# Identity

options = st.builds(
    ReadOptions,
    prompt=st.text(min_size=1),
    longest_side=st.integers(64, 8192),
    num_ctx=st.integers(256, 100_000),
    num_predict=st.integers(1, 100_000),
)
requests = st.tuples(
    st.sampled_from(["a" * 64, "b" * 64]), st.integers(1, 300), st.sampled_from(["c" * 64, "d" * 64]), options
)


def identity(request: tuple[str, int, str, ReadOptions]) -> str:
    sha256, number, digest, options = request
    plan = planned(document=DOCUMENT.model_copy(update={"sha256": sha256}), options=options)
    return plan.identity(number, digest)


@given(requests, requests)
def test_pages_are_the_same_only_if_file_number_model_and_options_are(one, other):
    assert (identity(one) == identity(other)) == (one == other)


@given(requests, st.sampled_from(["prompt", "longest_side", "num_ctx", "num_predict"]))
def test_every_option_is_a_part_of_the_identity(request, name):
    sha256, number, digest, options = request
    value = getattr(options, name)
    changed = options.model_copy(update={name: value + ("." if name == "prompt" else 1)})
    assert identity((sha256, number, digest, changed)) != identity(request)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "slots": st.integers(1, 256),
            "attempts": st.integers(1, 20),
            "numbers": st.just((1,)),
            "backend": st.sampled_from(BackendName),
            "model": st.text(min_size=1),
            "output": st.just(Path("/elsewhere")),
            "force": st.booleans(),
            "require_gpu": st.booleans(),
            "document": st.just(DOCUMENT.model_copy(update={"path": Path("/moved/renamed.pdf")})),
        },
    )
)
def test_how_and_where_a_page_is_read_is_no_part_of_its_identity(changes):
    assert planned(**changes).identity(1, DIGEST) == planned().identity(1, DIGEST)
