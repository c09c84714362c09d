"""`hearth plan` and `hearth prices`: estimate time and cost before a run."""

import asyncio
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, out, plain_table, write
from tasks.core.durations import format_duration, parse_duration
from tasks.core.errors import InputError
from tasks.core.options import TextLayer
from tasks.costs.assumptions import Range
from tasks.costs.price_book import REGIONS, Term, current_book, save_book, shipped_book, user_book
from tasks.planning.chart import picture
from tasks.planning.request import PlanRequest, make_plan
from tasks.planning.verdict import CostPlan
from tasks.settings.settings import load_settings

prices = typer.Typer(no_args_is_help=True, help="Show the price book, or refresh it from AWS.")
_WIDTH = 100


def plan(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE|DIR", show_default="none", help="PDFs and pictures, or folders of them."),
    ] = None,
    pages: Annotated[
        int | None,
        typer.Option(min=1, metavar="PAGES", show_default="those of the PDFs", help="Page count, instead of PDFs."),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(metavar="DURATION", show_default="none", help="Finish within 90s, 10min, 2h or 1d."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="USD", show_default="none", help="Maximum cost of all pages.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="HEARTH_MODEL",
            help="Model whose measured times are used.",
        ),
    ] = None,
    text_layer: Annotated[
        TextLayer,
        typer.Option(
            metavar="NAME",
            help="Leave out pages that are taken from the PDF's own text: never, auto or always, as hearth read does; "
            "with --pages, sound_layers is assumed.",
        ),
    ] = TextLayer.NEVER,
    assume: options.Assume = None,
    classic: Annotated[bool, typer.Option("--classic", help="Ignore boot, minimum billing and idle time.")] = False,
    stale_days: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="Warn about prices older than this many days.")
    ] = 90,
    svg: options.Svg = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan and its assumptions as JSON.")] = False,
) -> None:
    """Compare time and cost of every architecture; nothing is started."""
    if budget is not None and budget <= 0:
        raise InputError(f"--budget is {budget:g}. It must be above 0, for example --budget 5.")
    request = PlanRequest(
        pages=pages,
        sources=tuple(sources or ()),
        model=model,
        deadline_seconds=_seconds(deadline),
        budget_usd=budget,
        classic=classic,
        text_layer=text_layer,
        assume=parse_assumptions(assume or []),
        stale_days=stale_days,
    )
    costs = make_plan(request, load_settings())
    if svg is not None:
        svg.write_text(picture(costs), encoding="utf-8")
    if as_json:
        write(costs.model_dump_json() + "\n")
    else:
        _show(costs)


@prices.command("show")
def show(
    region: Annotated[
        str | None,
        typer.Option(metavar="REGION", show_default="all", help="Only this region, for example us-east-1."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show every price, its source, and the day on which it was read."""
    book = current_book(load_settings().home)
    if as_json:
        write(book.model_dump_json() + "\n")
        return
    table = plain_table("item", "region", "term", "USD", "unit", "read", "source")
    for price in book.prices:
        if region in {None, price.region}:
            read = f"{book.sources[price.source].date}"
            mark = "" if price.checked else " ?"
            table.add_row(price.item, price.region, price.term, f"{price.usd:g}", price.unit, read, price.source + mark)
    console = _console()
    console.print(table)
    console.print("?: not verified, or a spot price of one moment; --json says why.")
    for name, source in book.sources.items():
        console.say(f"{name}: {source.url} {source.note}")


@prices.command("refresh")
def refresh(
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGION", show_default="the book's four", help="Region, for example us-east-1; repeatable."
        ),
    ] = None,
    instance_type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            show_default="the book's",
            help="Type, for example g4dn.xlarge; repeatable.",
        ),
    ] = None,
) -> None:
    """Read today's prices from AWS, store them, and show what changed."""
    from tasks.costs.offers import SERVICES
    from tasks.costs.refresh import TYPES, fetch_prices

    home = load_settings().home
    before = current_book(home)
    newer = asyncio.run(fetch_prices(tuple(instance_type or TYPES), tuple(region or REGIONS)))
    save_book((user_book(home) or shipped_book()).merged(newer), home)
    changes = before.changes(newer)
    table = plain_table("item", "region", "term", "was", "is")
    for old, new in changes:
        table.add_row(new.item, new.region, new.term, f"{old.usd:.4f}" if old else "", f"{new.usd:.4f}")
    console = _console()
    if changes:
        console.print(table)
    console.print(f"{len(newer.prices)} prices read, {len(changes)} of them new or changed.")
    if missing := sorted({service.item for service in SERVICES} - {price.item for price in newer.prices}):
        console.print(f"AWS returned no price of: {', '.join(missing)}. The earlier ones stay.")


def _show(costs: CostPlan) -> None:
    console = _console()
    heads = ["boot+load", "read", "total", "paid", "USD", *(["per 1,000"] if console.width >= _WIDTH else [])]
    table = plain_table("pages on", "runs, terms", *heads)
    for row in costs.rows:
        many = f" x{row.machines}" if row.machines > 1 else ""
        terms = row.term.replace("reserved ", "res. ").replace(", ", " ").replace(" upfront", "")
        cells = (
            *(row.shape + many, f"{row.running}, {terms}" if row.term is not Term.ON_DEMAND else row.running),
            *(f"{_short(row.boot.typical)}+{_short(row.load.typical)}", _short(row.reading.typical)),
            *(f"{_short(row.total.low)}-{_short(row.total.high)}", _short(row.billed.typical)),
            *(_dollars(row.usd), f"{row.usd_per_1000.typical:.2f}"),
        )
        table.add_row(*cells[: 2 + len(heads)], style="bold" if row == costs.best else "")
    if costs.rows:
        console.print(table)
        console.print()
    console.print(costs.verdict)
    for note in costs.notes:
        console.print(note, style="dim")


def _console() -> Terminal:
    return Terminal(width=min(out.width, _WIDTH))


def _short(seconds: float) -> str:
    """Format seconds as `format_duration` does, without spaces: 3m20s."""
    return format_duration(seconds).replace(" min", "m").replace(" ", "")


def _dollars(usd: Range) -> str:
    digits = 3 if usd.high < 1 else 2
    return f"{usd.low:.{digits}f}-{usd.high:.{digits}f}"


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(f"{text}s" if text.strip().replace(".", "", 1).isdecimal() else text)
    except ValueError:
        raise InputError(f"--deadline is {text!r}. Write it like 90s, 10min, 2h or 1d.") from None


def parse_assumptions(texts: list[str]) -> dict[str, str]:
    """Split NAME=VALUE assumptions.

    Raises:
        InputError: one has no value.
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--assume {text!r} has no value. Write it like page_seconds=5-10.")
        pairs[name.strip()] = value.strip()
    return pairs
