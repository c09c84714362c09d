"""The database of a new Prefect server, as Prefect's migrations make it.

Prefect makes it with a hundred migrations, which take 6.6 s of processor time (measured); from its text it is there in
0.1 s. Later versions of Prefect migrate it on from there. `python -m flows.local.new_database` writes the text anew,
after the version of Prefect was changed.
"""

import asyncio
import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from prefect.settings import get_current_settings

TEXT = Path(__file__).with_name("prefect-database.sql")


def make_database() -> None:
    """Make the database that Prefect's settings name, if it is Prefect's default, and there is none yet."""
    settings = get_current_settings()
    path = settings.home / "prefect.db"
    url = settings.server.database.connection_url
    if url is None or url.get_secret_value() != f"sqlite+aiosqlite:///{path}" or path.exists():
        return
    with tempfile.TemporaryDirectory(dir=settings.home) as name:
        made = Path(name) / path.name
        with closing(sqlite3.connect(made)) as database:
            database.executescript(TEXT.read_text())
        with suppress(FileExistsError):  # another server was faster
            path.hardlink_to(made)  # which replaces nothing


def text_of(path: Path) -> str:
    """Return a database as text."""
    with closing(sqlite3.connect(path)) as database:
        return "".join(f"{line.rstrip()}\n" for line in "\n".join(database.iterdump()).splitlines())


def migrate() -> str:
    """Have Prefect's migrations make the database that its settings name, and return it as text."""
    from prefect.server.database import provide_database_interface

    asyncio.run(provide_database_interface().create_db())
    return text_of(get_current_settings().home / "prefect.db")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["PREFECT_HOME"] = home
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
        TEXT.write_text(migrate())
