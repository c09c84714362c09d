"""`hearth check`: what a run would use, and what is missing; nothing is started, and nothing costs money."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import typer

from flows.cli import options
from flows.cli.console import Terminal, write
from flows.cli.findings import Found, finding_facts, findings_table
from flows.cli.run import run_command
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from tasks.core.finding import Finding, Findings

_EXIT_MISSING = 1
_NEEDED = ("output", "home", "prefect")
_out = Terminal()


def check(backend: options.Backend = None, model: options.Model = None, as_json: options.Json = False) -> None:
    """Show what a run would use, and what is missing.

    Nothing is started, and nothing is asked that costs money.

    Exit codes:
    0  a run could read: the backend that it would use, Prefect, and the place
       of the results are there
    1  one of these is missing
    2  a setting is wrong
    """
    settings = load_settings()
    settings = settings.model_copy(update={"model": model or settings.model, "backend": backend or settings.backend})
    chosen, why = _chosen(settings)
    found = run_command(_found(settings), as_json=as_json, verbose=False)  # waits for no call that was given up
    usable = not any(finding.state == "missing" for part in (chosen, *_NEEDED) for finding in found[part])
    if as_json:
        lines = [_facts(of, finding, chosen) for of, findings in found.items() for finding in findings]
        write(json.dumps({"backend": chosen, "why": why, "usable": usable, "checks": lines}) + "\n")
    else:
        _show(found, chosen, why, usable=usable)
    if not usable:
        raise typer.Exit(_EXIT_MISSING)


def _chosen(settings: Settings) -> tuple[str, str]:
    """Return which backend a run would use, and why; one that lacks a setting is used all the same."""
    from tasks.backends.registry import BACKENDS
    from tasks.core.errors import InputError
    from tasks.runs.choose_backend import choose_backend

    try:
        choice = choose_backend(settings.backend, settings)
    except InputError:
        if settings.backend is not BackendName.AUTO:
            return settings.backend.value, "it was asked for"
        return next((name.value, why) for name, (_, offer) in BACKENDS.items() if (why := offer(settings)))
    return choice.backend.name.value, choice.why


async def _found(settings: Settings) -> Found:
    from flows.local.check import check_prefect
    from tasks.backends.registry import CHECKS
    from tasks.core.finding import collect_findings
    from tasks.runs.check import check_home, check_output

    checks: dict[str, Findings] = {name.value: check(settings) for name, check in CHECKS.items()}
    checks |= {"output": check_output(settings), "home": check_home(settings), "prefect": check_prefect(settings)}
    found = await asyncio.gather(*map(collect_findings, checks.values()))
    return dict(zip(checks, found, strict=True))


def _facts(of: str, finding: Finding, chosen: str) -> dict[str, object]:
    return {**finding_facts(of, finding), "needed": of in {chosen, *_NEEDED}}


def _show(found: Found, chosen: str, why: str, *, usable: bool) -> None:
    _out.print(f"A run would use {chosen}: {why}.")
    needed = {of: found[of] for of in (chosen, *_NEEDED)}
    _out.print()
    _out.print(findings_table(needed))
    _out.print("\nOther backends, each by --backend:\n")
    _out.print(findings_table({of: findings for of, findings in found.items() if of not in needed}))
    told = "A run could read now." if usable else "A run could not read now: see what is missing."
    _out.print(f"\n{told}", style="green" if usable else "red")
