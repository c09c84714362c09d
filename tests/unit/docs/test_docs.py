"""The documentation matches the code: generated parts, links, anchors, commands and examples."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.cli.commands import COMMANDS, load_command
from tests.support import flow_picture, generated_docs

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS]
SOURCES = [
    ROOT / "prefect.yaml",
    ROOT / "Makefile",
    *(path for folder in ("flows", "tasks", "infra_scripts", "tests") for path in (ROOT / folder).rglob("*.py")),
]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in these languages."""
    fences = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [block for language, block in fences if language in languages]


def commands(page: Path) -> list[str]:
    """Return the shell code of a page: its `sh` blocks, and what follows the prompts of its `console` blocks."""
    typed = [re.findall(r"^\$ (.*(?:\\\n.*)*)", block, flags=re.MULTILINE) for block in blocks(page, "console")]
    return [*blocks(page, "sh"), *("\n".join(lines) + "\n" for lines in typed)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives a page's headings."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings)
    return frozenset(slugs)


@pytest.mark.parametrize("page", generated_docs.PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Path):
    assert page.read_text() == generated_docs.with_blocks(page), "run: make docs"


def test_the_picture_of_the_flow_is_up_to_date():
    assert flow_picture.PICTURE.read_text() == flow_picture.picture(), "run: make docs"


@each_page
def test_links_lead_to_files_and_headings(page: Path):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_pages_that_the_code_names_exist():
    named = {
        (path, name)
        for path in SOURCES
        for name in re.findall(r"(?<![\w/.])docs/[\w/-]+\.\w+", path.read_text())
        if not name.endswith(("/docs.py", "/test_docs.py"))
    }
    missing = [(path.name, name) for path, name in named if not (ROOT / name).exists()]
    assert not missing, missing
    assert len(named) > 10


@each_page
def test_files_and_folders_that_the_pages_name_exist(page: Path):
    if page.name != "CHANGELOG.md":
        named = re.findall(r"`((?:flows|tasks|infra_scripts|tests)/[\w/.-]+)`", page.read_text())
        assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_folder_of_the_source_has_a_sentence():
    page = (ROOT / "docs" / "architecture.md").read_text()
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    packages = [path for top in ("flows", "tasks", "infra_scripts") for path in (ROOT / top).glob("*/__init__.py")]
    folders = {path.parent.name for path in packages}
    assert described == folders


def test_settings_that_the_pages_name_exist():
    reference = "".join((ROOT / "docs" / "reference" / name).read_text() for name in ("settings.md", "api.md"))
    known = set(re.findall(r"^\| `((?:HEARTH|API)_\w+)`", reference, re.MULTILINE))
    for page in PAGES:
        if page.name not in {"CHANGELOG.md", "upgrade.md"}:
            named = set(re.findall(r"\b((?:HEARTH|API)_[A-Z][A-Z0-9_]*[A-Z0-9])\b(?![*_])", page.read_text()))
            assert {name for name in named if name not in known} <= {"API_MAX", "HEARTH_HOME"}, page


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        waiting += [(page.parent / target).resolve() for target in targets]
    assert set(DOCS) <= reached


@each_page
def test_shell_blocks_parse(page: Path):
    for block in commands(page):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"


@each_page
def test_hearth_commands_have_the_options_that_they_are_shown_with(page: Path):
    for line in "".join(commands(page)).replace("\\\n", " ").splitlines():
        for part in re.split(r"[|;&]|\$\(|<\(", line.split(" #")[0]):
            words = part.split()
            while words and "=" in words[0]:  # a variable for this command alone
                del words[0]
            if words[:1] == ["hearth"]:
                assert unknown(words[1:]) == [], line


load = cache(load_command)


def unknown(words: list[str]) -> list[str]:
    """Return the subcommands and options among a command line's words that `hearth` does not have."""
    if not words or words[0].startswith("-"):
        return []
    if words[0] not in COMMANDS:
        return words[:1]
    command: Any = load(words[0])
    words = words[1:]
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return []
        name, *words = words
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    given = {word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z].*", word)}
    return sorted(given - options)


@each_page
def test_python_blocks_compile(page: Path):
    for block in blocks(page, "python"):
        wrapped = re.sub(r"^(\s*)return\b", r"\1_ =", block, flags=re.MULTILINE) if "def " not in block else block
        compiled = compile(wrapped, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
        assert compiled.body, block


def test_make_targets_that_the_pages_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shell = "".join(code for page in PAGES for code in commands(page))
    prose = "".join(page.read_text() for page in PAGES)
    named = {*re.findall(r"^make ([a-z-]+)", shell, re.MULTILINE), *re.findall(r"`make ([a-z-]+)", prose)}
    assert {"read", "test"} <= named <= targets


def test_the_readme_is_short():
    assert (ROOT / "README.md").read_text().count("\n") < 150


def test_every_source_file_stays_readable_in_one_sitting():
    for folder in ("flows", "tasks", "infra_scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.read_text().count("\n") <= 300, path


def test_what_was_never_run_is_on_one_page_to_which_the_others_link():
    claim = re.compile(
        r"untested|never (been )?run\b|not (been )?tried|be tried here|no AWS account|has not been built", re.I
    )
    for page in PAGES:
        if page.name in {"tried.md", "CHANGELOG.md"}:
            continue
        for paragraph in page.read_text().split("\n\n"):
            assert not claim.search(paragraph) or "tried.md" in paragraph, (page.name, paragraph)


def test_the_changelog_keeps_the_form_of_keep_a_changelog():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    headings = [line[4:] for line in lines if line.startswith("### ")]
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert all(line.startswith(("#", "- ", "All notable")) for line in lines if line), "one line a change"


@cache
def literals() -> str:
    """Return the strings of the code, one a line; `...` stands for what is filled in."""

    def text_of(node: ast.AST) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text_of, node.values))
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "..."

    paths = (path for folder in ("flows", "tasks") for path in (ROOT / folder).rglob("*.py"))
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    return "\n".join(text_of(node) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant))


def test_messages_in_the_troubleshooting_page_are_those_of_the_code():
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    shown = [
        message for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for message in re.findall(r"`(.*?)`", row)
    ]
    parts = [part.strip() for message in shown for part in message.split("...")]
    assert len(parts) > 50
    missing = [part for part in parts if part not in literals()]
    assert not missing, missing
