"""Markdown tables made from classes: an enum's members, a model's fields, an error's subclasses."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from enum import StrEnum

from pydantic import BaseModel

from tasks.core.errors import HearthError


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; `|` is escaped, and None is an empty cell."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [["" if cell is None else str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(re.sub(r" +\|", " |", f"| {' | '.join(line)} |") for line in cells)


def member_rows(enum: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Yield each member's value and the docstring below it in the source."""
    body = _class_of(enum).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(name := statement.targets[0], ast.Name):
            yield f"`{enum[name.id]}`", _text_of(following)


def field_rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield each field's name, type and description: its own, or the one in its class's docstring.

    Inherited fields come first. The type is the one that `model` gives the field.
    """
    annotations: dict[str, str] = {}
    described: dict[str, str] = {}
    for kind in reversed(model.mro()):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            described |= _attributes(kind)
            for statement in _class_of(kind).body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    annotations[statement.target.id] = ast.unparse(statement.annotation)
    for name, annotation in annotations.items():
        if field := model.model_fields.get(name):
            yield f"`{name}`", f"`{annotation}`", field.description or described.get(name, "")


def error_rows(error: type[HearthError] = HearthError, depth: int = 0) -> Iterator[tuple[str, int, str]]:
    """Yield each error of `tasks.core.errors`, indented below its base, with its exit code and meaning."""
    yield f"{'&emsp;' * depth}`{error.__name__}`", error.exit_code, (inspect.getdoc(error) or "").split("\n\n")[0]
    for below in error.__subclasses__():
        if below.__module__ == HearthError.__module__:
            yield from error_rows(below, depth + 1)


def _class_of(kind: type) -> ast.ClassDef:
    (statement,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(statement, ast.ClassDef)
    return statement


def _text_of(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return ""


def _attributes(kind: type) -> dict[str, str]:
    """Return the names below `Attributes:` in a class's docstring, each with its text."""
    _, _, listed = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    described: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\S)", listed.split("\n\n")[0]):
        names, colon, text = entry.partition(":")
        if colon:
            described |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return described
