"""`hearth simulate`: simulate days of a fleet in seconds."""

from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import out, plain_table, print_json
from flows.cli.plan import parse_assumptions
from tasks.core.durations import format_duration
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import current_book
from tasks.planning.request import missing_price_error
from tasks.settings.settings import load_settings
from tasks.simulation.fleet import simulate
from tasks.simulation.outcome import Outcome
from tasks.simulation.picture import picture
from tasks.simulation.scenario import Arrivals, Physics, Policy, Rules, Work


def simulate_command(
    pages: Annotated[int, typer.Option(min=1, metavar="PAGES", help="Number of pages of all runs.")],
    run_pages: Annotated[int, typer.Option(min=1, metavar="PAGES", help="Number of pages of each run.")] = 50,
    arrivals: Annotated[
        Arrivals, typer.Option(metavar="NAME", help=f"When runs start: {', '.join(Arrivals)}.")
    ] = Arrivals.POISSON,
    days: Annotated[float, typer.Option(min=0, metavar="DAYS", help="Days over which the runs start.")] = 1.0,
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
            help="Time for which a machine without a run stays up.",
        ),
    ] = None,
    machines: Annotated[
        int, typer.Option(min=1, metavar="MACHINES", help="Maximum machines of a run, or of a service.")
    ] = 4,
    pages_per_slot: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PAGES",
            show_default="HEARTH_EC2__PAGES_A_SLOT, or 20",
            help="Waiting pages per slot that add a machine.",
        ),
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="Buy machines on the spot market.")] = False,
    interruptions: Annotated[
        float, typer.Option(min=0, metavar="TIMES", help="Interruptions of a spot machine per hour.")
    ] = 0.02,
    assume: options.Assume = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed of the random numbers.")] = 1,
    svg: options.Svg = None,
    as_json: options.Json = False,
) -> None:
    """Simulate days of runs on each kind of fleet; nothing is started."""
    settings = load_settings()
    assumptions = Assumptions().with_values({**parse_assumptions(assume or []), "seed": str(seed)})
    idle = settings.idle_minutes if idle_minutes is None else idle_minutes
    threshold = settings.ec2.pages_a_slot if pages_per_slot is None else pages_per_slot
    work = Work(pages=pages, run_pages=run_pages, arrivals=arrivals, days=days, seed=seed)
    fleets = [
        Rules(
            policy=name,
            idle_seconds=idle * 60,
            terminate_seconds=settings.ec2.terminate_hours * 3600,
            machines=machines,
            pages_a_slot=threshold,
            spot=spot,
        )
        for name in policy or Policy
    ]
    physics, book = Physics(interruptions_an_hour=interruptions), current_book(settings.home)
    try:
        outcomes = [simulate(work, rules, assumptions, book, physics) for rules in fleets]
    except KeyError:
        raise missing_price_error(assumptions) from None
    if svg is not None:
        svg.write_text(picture(outcomes, assumptions.slots), encoding="utf-8")
    if as_json:
        dumped = [outcome.model_dump(mode="json") for outcome in outcomes]
        print_json({"given": assumptions.model_dump(), "outcomes": dumped})
    else:
        _show(outcomes)


def _show(outcomes: list[Outcome]) -> None:
    table = plain_table("policy", "first page", "done", "machine h", "busy", "made", "at once", "USD", "per 1,000")
    for outcome in outcomes:
        table.add_row(
            outcome.rules.policy,
            f"{format_duration(outcome.started_p50)}, {format_duration(outcome.started_p95)}",
            f"{format_duration(outcome.finished_p50)}, {format_duration(outcome.finished_p95)}",
            f"{outcome.machine_hours:.1f}",
            f"{outcome.occupancy:.0%}",
            str(outcome.launches),
            str(outcome.peak),
            f"{outcome.usd:.2f}",
            f"{outcome.usd_per_1000:.3f}",
        )
    out.print(table)
    out.print(
        "Median and 95th percentile of the runs. Simulated: docs/architecture/simulation.md",
        style="dim",
    )
