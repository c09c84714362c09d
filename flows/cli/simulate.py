"""`hearth simulate`: days of a fleet in seconds. Thin over tasks/simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from flows.cli.console import Terminal, plain_table, write
from flows.cli.plan import assumed
from tasks.core.durations import format_duration
from tasks.core.errors import InputError
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import current_book
from tasks.planning.request import missing_price_error
from tasks.settings.settings import load_settings
from tasks.simulation.fleet import simulate
from tasks.simulation.outcome import Outcome
from tasks.simulation.picture import picture
from tasks.simulation.scenario import Arrivals, Physics, Policy, Rules, Work


def simulate_command(
    pages: Annotated[int, typer.Option(min=1, metavar="PAGES", help="How many, of all runs.")],
    run_pages: Annotated[int, typer.Option(min=1, metavar="PAGES", help="How many a run has.")] = 50,
    arrivals: Annotated[
        Arrivals, typer.Option(metavar="NAME", help=f"When runs come: {', '.join(Arrivals)}.")
    ] = Arrivals.POISSON,
    days: Annotated[float, typer.Option(min=0, metavar="DAYS", help="Over which they come.")] = 1.0,
    policy: Annotated[
        list[Policy] | None,
        typer.Option(
            metavar="NAME", show_default="all", help=f"How runs get machines: {', '.join(Policy)}; repeatable."
        ),
    ] = None,
    idle_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MINUTES",
            show_default="HEARTH_IDLE_MINUTES, or 10",
            help="How long a machine without a run stays.",
        ),
    ] = None,
    machines: Annotated[
        int, typer.Option(min=1, metavar="MACHINES", help="Most machines of a run, or of a service.")
    ] = 4,
    pages_per_slot: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PAGES",
            show_default="HEARTH_EC2__PAGES_A_SLOT, or 20",
            help="Pages for each slot of it that bring a further machine.",
        ),
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="Buy machines on the spot market.")] = False,
    interruptions: Annotated[
        float, typer.Option(min=0, metavar="TIMES", help="Interruptions of a spot machine in an hour.")
    ] = 0.02,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            show_default="docs/reference/assumptions.md lists them",
            help="An assumption, as for hearth plan; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed of all that is drawn at random.")] = 1,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default="none", help="Write a picture there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as JSON.")] = False,
) -> None:
    """Simulate days of runs on every kind of fleet; nothing is started."""
    settings = load_settings()
    given = Assumptions().with_values({**assumed(assume or []), "seed": str(seed)})
    idle = settings.idle_minutes if idle_minutes is None else idle_minutes
    threshold = settings.ec2.pages_a_slot if pages_per_slot is None else pages_per_slot
    try:
        work = Work(pages=pages, run_pages=run_pages, arrivals=arrivals, days=days, seed=seed)
        kept = [
            Rules(
                policy=each,
                idle_seconds=idle * 60,
                terminate_seconds=settings.ec2.terminate_hours * 3600,
                machines=machines,
                pages_a_slot=threshold,
                spot=spot,
            )
            for each in policy or Policy
        ]
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} is wrong: {first['msg']}.") from None
    physics, book = Physics(interruptions_an_hour=interruptions), current_book(settings.home)
    try:
        outcomes = [simulate(work, rules, given, book, physics) for rules in kept]
    except KeyError:
        raise missing_price_error(given) from None
    if svg is not None:
        svg.write_text(picture(outcomes, given.slots), encoding="utf-8")
    if as_json:
        told = {"given": given.model_dump(), "outcomes": [each.model_dump(mode="json") for each in outcomes]}
        write(json.dumps(told) + "\n")
    else:
        _show(outcomes)


def _show(outcomes: list[Outcome]) -> None:
    heads = ("first page", "done", "machine h", "busy", "made", "at once", "USD", "per 1,000")
    table = plain_table("policy", *heads)
    for each in outcomes:
        table.add_row(
            each.rules.policy,
            f"{format_duration(each.started_p50)}, {format_duration(each.started_p95)}",
            f"{format_duration(each.finished_p50)}, {format_duration(each.finished_p95)}",
            f"{each.machine_hours:.1f}",
            f"{each.occupancy:.0%}",
            str(each.launches),
            str(each.peak),
            f"{each.usd:.2f}",
            f"{each.usd_per_1000:.3f}",
        )
    out = Terminal()
    out.print(table)
    out.print(
        "Waits of half of the runs, and of 95 in 100. Simulated: see docs/architecture/simulation.md.", style="dim"
    )
