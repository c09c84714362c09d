"""`hearth check`: show what a run would use, and what is missing. It starts nothing and costs nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from flows.cli import options
from flows.cli.console import out, print_json
from flows.cli.findings import Found, finding_facts, findings_table
from flows.cli.run import run_command
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from tasks.core.finding import Findings

_EXIT_MISSING = 1
_NEEDED = ("output", "home", "prefect")


def check(backend: options.Backend = None, model: options.Model = None, as_json: options.Json = False) -> None:
    """Show what a run would use, and what is missing.

    It starts nothing, and makes no call that costs money.

    Exit codes:
    0  a run could read: its backend, Prefect and the results' directory are
       available
    1  one of these is missing
    2  a setting is wrong
    """
    settings = load_settings()
    settings = settings.model_copy(update={"model": model or settings.model, "backend": backend or settings.backend})
    chosen, why = _chosen(settings)
    found = run_command(_found(settings), as_json=as_json, verbose=False)  # does not wait for abandoned calls
    needed = (chosen, *_NEEDED)
    usable = not any(finding.state == "missing" for subject in needed for finding in found[subject])
    if as_json:
        checks = [
            {**finding_facts(subject, finding), "needed": subject in needed}
            for subject, findings in found.items()
            for finding in findings
        ]
        print_json({"backend": chosen, "why": why, "usable": usable, "checks": checks})
    else:
        out.print(f"A run would use {chosen}: {why}.\n")
        out.print(findings_table({subject: found[subject] for subject in needed}))
        out.print("\nOther backends, which --backend selects:\n")
        out.print(findings_table({subject: found[subject] for subject in found if subject not in needed}))
        verdict = "A run could read now." if usable else "A run could not read now: see what is missing."
        out.print(f"\n{verdict}", style="green" if usable else "red")
    if not usable:
        raise typer.Exit(_EXIT_MISSING)


def _chosen(settings: Settings) -> tuple[str, str]:
    """Return the backend that a run would use, and why, even if a setting of it is missing."""
    from tasks.backends.registry import BACKENDS
    from tasks.core.errors import InputError
    from tasks.runs.choose_backend import choose_backend

    try:
        choice = choose_backend(settings.backend, settings)
    except InputError:
        if settings.backend is not BackendName.AUTO:
            return settings.backend.value, "it was requested"
        return next((name.value, why) for name, known in BACKENDS.items() if (why := known.offer(settings)))
    return choice.backend.name.value, choice.why


async def _found(settings: Settings) -> Found:
    from flows.local.check import check_prefect
    from tasks.backends.registry import BACKENDS
    from tasks.core.finding import collect_findings
    from tasks.runs.check import check_home, check_output

    checks: dict[str, Findings] = {name.value: known.check(settings) for name, known in BACKENDS.items()}
    checks |= {"output": check_output(settings), "home": check_home(settings), "prefect": check_prefect(settings)}
    found = await asyncio.gather(*map(collect_findings, checks.values()))
    return dict(zip(checks, found, strict=True))
