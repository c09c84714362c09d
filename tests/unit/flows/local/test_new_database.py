"""A new Prefect server begins with the database that Prefect's migrations would make."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import prefect.server.database
import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME, temporary_settings

from flows.local.new_database import TEXT, make_database, text_of


def test_the_text_is_of_the_version_of_prefect_that_is_installed():
    migrations = Path(prefect.server.database.__file__).parent / "_migrations" / "versions" / "sqlite"
    written = [
        re.findall(r'^(revision|down_revision) = "(\w+)"', path.read_text(), re.M) for path in migrations.glob("*.py")
    ]
    revisions = [dict(each) for each in written]
    (head,) = {each["revision"] for each in revisions} - {each.get("down_revision") for each in revisions}
    assert f"INSERT INTO \"alembic_version\" VALUES('{head}');" in TEXT.read_text()


@pytest.fixture
def home(tmp_path: Path):
    with temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults=[PREFECT_API_DATABASE_CONNECTION_URL]):
        yield tmp_path


def test_the_database_is_the_one_of_the_text(home: Path):
    make_database()
    assert text_of(home / "prefect.db") == TEXT.read_text()
    assert [path.name for path in home.iterdir()] == ["prefect.db"]


def test_a_database_that_exists_is_kept(home: Path):
    (home / "prefect.db").write_text("kept")
    make_database()
    assert (home / "prefect.db").read_text() == "kept"


def test_no_database_is_made_beside_one_that_is_elsewhere(home: Path):
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{home}/other.db"}):
        make_database()
    assert list(home.iterdir()) == []


def words(text: str) -> list[list[str]]:
    """The words of each statement in order of the alphabet: migrations write constraints in any order."""
    return sorted(sorted(statement.replace(",", " ").split()) for statement in text.split(";\n"))


@pytest.mark.long("makes a database with all of Prefect's migrations: 7 s of processor time")
def test_prefects_migrations_make_the_same(tmp_path: Path):
    made = subprocess.run(
        [sys.executable, "-P", "-c", "from flows.local.new_database import migrate; print(migrate(), end='')"],
        env={"PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert words(made.stdout) == words(TEXT.read_text()), "Write it anew: python -m flows.local.new_database"
