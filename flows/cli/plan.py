"""`hearth plan` and `hearth prices`: time and money before a run. Thin over tasks/planning and tasks/costs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, plain_table, write
from tasks.core.durations import format_duration, parse_duration
from tasks.core.errors import InputError
from tasks.costs.assumptions import Range
from tasks.costs.price_book import REGIONS, Term, current_book, save_book, shipped_book, user_book
from tasks.planning.chart import picture
from tasks.planning.request import PlanRequest, make_plan
from tasks.planning.verdict import CostPlan
from tasks.settings.settings import load_settings

prices = typer.Typer(no_args_is_help=True, help="The price book: show it, or ask AWS for today's prices.")
_WIDTH = 100


def plan(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE.pdf|DIR", show_default="none", help="PDFs whose pages are counted."),
    ] = None,
    pages: Annotated[
        int | None,
        typer.Option(min=1, metavar="PAGES", show_default="those of the PDFs", help="How many, instead of PDFs."),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(metavar="DURATION", show_default="none", help="Finish within 90s, 10min, 2h or 1d."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="USD", show_default="none", help="Most that all pages may cost.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default="HEARTH_MODEL", help="Model whose measured page times are used."),
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            show_default="docs/reference/assumptions.md lists them",
            help="An assumption, such as page_seconds=5-10; repeatable.",
        ),
    ] = None,
    classic: Annotated[bool, typer.Option("--classic", help="Leave out boot, minimum billing and idling.")] = False,
    stale_days: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="Warn about prices that are older than this.")
    ] = 90,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default="none", help="Write a picture there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan, its assumptions included, as JSON.")] = False,
) -> None:
    """Compare time and cost on every architecture; nothing is started."""
    if budget is not None and budget <= 0:
        raise InputError(f"The budget is {budget:g} USD. Allow more than nothing, such as --budget 5.")
    asked = PlanRequest(
        pages=pages,
        sources=tuple(sources or ()),
        model=model,
        deadline_seconds=_seconds(deadline),
        budget_usd=budget,
        classic=classic,
        assume=assumed(assume or []),
        stale_days=stale_days,
    )
    made = make_plan(asked, load_settings())
    if svg is not None:
        svg.write_text(picture(made), encoding="utf-8")
    if as_json:
        write(made.model_dump_json() + "\n")
    else:
        _show(made)


@prices.command("show")
def show(
    region: Annotated[
        str | None, typer.Option(metavar="REGION", show_default="all", help="Of one region alone.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show every price with its source and the day on which it was read."""
    book = current_book(load_settings().home)
    if as_json:
        write(book.model_dump_json() + "\n")
        return
    table = plain_table("what", "region", "term", "USD", "unit", "read", "source")
    for price in book.prices:
        if region in {None, price.region}:
            read = f"{book.sources[price.source].date}"
            mark = "" if price.checked else " ?"
            table.add_row(price.item, price.region, price.term, f"{price.usd:g}", price.unit, read, price.source + mark)
    out = _console()
    out.print(table)
    out.print("?: not verified, or spot's of one moment; --json says why.", highlight=False)
    for name, source in book.sources.items():
        out.print(f"{name}: {source.url} {source.note}", highlight=False, soft_wrap=True)


@prices.command("refresh")
def refresh(
    region: Annotated[
        list[str] | None, typer.Option(metavar="REGION", show_default="the book's four", help="Which; repeatable.")
    ] = None,
    instance_type: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", show_default="those of the book", help="Which machines; repeatable."),
    ] = None,
) -> None:
    """Ask AWS for today's prices, keep them, and show what changed."""
    from tasks.costs.offers import SERVICES
    from tasks.costs.refresh import TYPES, fetch_prices

    home = load_settings().home
    before = current_book(home)
    newer = asyncio.run(fetch_prices(tuple(instance_type or TYPES), tuple(region or REGIONS)))
    save_book((user_book(home) or shipped_book()).merged(newer), home)
    changes = before.changes(newer)
    table = plain_table("what", "region", "term", "was", "is")
    for old, new in changes:
        table.add_row(new.item, new.region, new.term, f"{old.usd:.4f}" if old else "", f"{new.usd:.4f}")
    out = _console()
    if changes:
        out.print(table)
    out.print(f"{len(newer.prices)} prices read, {len(changes)} of them new or changed.", highlight=False)
    lacking = sorted({service.item for service in SERVICES} - {price.item for price in newer.prices})
    if lacking:
        out.print(f"AWS gave none for: {', '.join(lacking)}. Those of before stand.", highlight=False)


def _show(made: CostPlan) -> None:
    out = _console()
    heads = ["boot+load", "read", "total", "paid", "USD", *(["per 1,000"] if out.width >= _WIDTH else [])]
    table = plain_table("pages on", "runs, terms", *heads)
    for row in made.rows:
        many = f" x{row.machines}" if row.machines > 1 else ""
        terms = row.term.replace("reserved ", "res. ").replace(", ", " ").replace(" upfront", "")
        cells = (
            *(row.shape + many, f"{row.running}, {terms}" if row.term is not Term.ON_DEMAND else row.running),
            *(f"{_short(row.boot.typical)}+{_short(row.load.typical)}", _short(row.reading.typical)),
            *(f"{_short(row.total.low)}-{_short(row.total.high)}", _short(row.billed.typical)),
            *(_dollars(row.usd), f"{row.usd_per_1000.typical:.2f}"),
        )
        table.add_row(*cells[: 2 + len(heads)], style="bold" if row == made.best else "")
    out.print(table)
    out.print()
    out.print(made.verdict, highlight=False)
    for note in made.notes:
        out.print(note, highlight=False, style="dim")


def _console() -> Terminal:
    return Terminal(width=min(Terminal().width, _WIDTH))


def _short(seconds: float) -> str:
    """As `format_duration` has it, without spaces."""
    return format_duration(seconds).replace(" min", "m").replace(" ", "")


def _dollars(usd: Range) -> str:
    digits = 3 if usd.high < 1 else 2
    return f"{usd.low:.{digits}f}-{usd.high:.{digits}f}"


def _seconds(written: str | None) -> float | None:
    if written is None:
        return None
    try:
        return parse_duration(f"{written}s" if written.strip().replace(".", "", 1).isdecimal() else written)
    except ValueError:
        raise InputError(f"The deadline is {written!r}. Write it like 90s, 10min, 2h or 1d.") from None


def assumed(written: list[str]) -> dict[str, str]:
    """Assumptions as they were written, NAME=VALUE each.

    Raises:
        InputError: one is not written so.
    """
    pairs = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"--assume {each!r} lacks its value. Write it like page_seconds=5-10.")
        pairs[name.strip()] = value.strip()
    return pairs
