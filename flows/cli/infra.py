"""`hearth infra`: the stacks on AWS, brought up, looked at and taken down. Thin over flows/stacks and infra_scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, plain_table, write
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import InfraError
from tasks.core.errors import HearthError
from tasks.costs.price_book import current_book
from tasks.costs.rates import on_demand_usd_per_hour
from tasks.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws
    from infra_scripts.common.deployment import StackPlan, StackStatus

infra = typer.Typer(no_args_is_help=True, help="Deploy stacks on AWS, look at them, take them down.")
_out = Terminal()
_err = Terminal(stderr=True)


class Who(StrEnum):
    """Whose IAM policy."""

    CALLER = "caller"
    DEPLOYER = "deployer"
    DOCTOR = "doctor"
    BAKER = "baker"


_STACKS = ", ".join(StackName)
Name = Annotated[StackName, typer.Argument(metavar="STACK", help=f"Which stack: {_STACKS}.")]
AllowFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-from",
        metavar="CIDR|SG",
        show_default="nobody; required but with access by tunnel",
        help="Who may reach Ollama: 203.0.113.7/32, 10.0.0.0/16, sg-...; repeatable.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@infra.command()
def up(
    name: Name,
    allow_from: AllowFrom = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made and its cost; ask AWS nothing.")
    ] = False,
) -> None:
    """Create or update a stack.

    It costs next to nothing until a run uses it.
    """
    with errors():
        settings = load_settings()
        aws = None if dry_run else connected(settings)
        region = _region(settings, aws.region if aws else None)
        deployment = open_deployment(name, settings, Options(allow_from=tuple(allow_from or ())), region)
        _show(f"{deployment.name} in {region}", deployment.plan())
        if aws is None:
            return
        if not yes:
            typer.confirm("Make it?", abort=True)
        _say(deployment.up(aws, _tell))


@infra.command()
def down(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="End also what is in use, and what it does.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Delete baked images and their snapshots, too.")] = False,
    yes: Yes = False,
) -> None:
    """Delete a stack and all that it started.

    Then see that nothing is left that costs money.
    """
    with errors():
        settings = load_settings()
        aws = connected(settings)
        deployment = open_deployment(name, settings, Options(images=images), aws.region)
        if not yes:
            typer.confirm(f"Delete {deployment.teardown_summary}?", abort=True)
        _say(deployment.down(aws, _tell, force=force))


@infra.command()
def status(
    name: Annotated[
        StackName | None, typer.Argument(metavar="STACK", show_default="all", help=f"Which stack: {_STACKS}.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show which stacks are deployed, and what of them is paid for."""
    with errors():
        settings = load_settings()
        aws = connected(settings)
        found: dict[StackName, StackStatus] = {}
        for each in [name] if name else list(StackName):
            deployment = open_deployment(each, settings, Options(), aws.region)
            found[each] = deployment.status(aws)
            if not as_json:
                facts = "; ".join(f"{what}: {told}" for what, told in found[each].facts)
                state = found[each].state or "not deployed"
                _say((f"{each}: {deployment.name} in {aws.region}: {'. '.join(filter(None, (state, facts)))}",))
        if as_json:
            printed = {each: {"state": told.state, **dict(told.facts)} for each, told in found.items()}
            write(json.dumps(printed) + "\n")


@infra.command()
def bake(yes: Yes = False) -> None:
    """Bake an image with Ollama and the model on it.

    Machines boot from it in a minute instead of ten.
    """
    from infra_scripts.ec2.bake import bake as bake_image
    from infra_scripts.ec2.baker import Bake

    with errors():
        settings = load_settings()
        aws = connected(settings)
        how = Bake(settings.ec2.pool, settings.ec2.types, settings.ec2_stack.base_ami_parameter)
        if not yes:
            usd = on_demand_usd_per_hour(how.types[0], aws.region, current_book(settings.home))
            cost = "at a price not known" if usd is None else f"at about USD {usd:.2f} an hour"
            _out.print(f"One {how.types[0]} runs for about 20 minutes, {cost};", highlight=False)
            _out.print("then the image's snapshot costs about USD 0.05 per GB and month.", highlight=False)
            typer.confirm("Bake?", abort=True)
        image = bake_image(aws, how, _tell)
        _out.print(f"Baked {image}.", highlight=False)


@infra.command()
def template(name: Name, allow_from: AllowFrom = None) -> None:
    """Print a stack's CloudFormation template."""
    with errors():
        settings = load_settings()
        options = Options(allow_from=tuple(allow_from or ()))
        write(open_deployment(name, settings, options, _region(settings, None)).template())


@infra.command()
def policy(
    who: Annotated[
        Who,
        typer.Argument(
            metavar="WHO",
            help="caller, who reads on it; deployer, who brings it up; baker, who bakes images (ec2); or doctor, what "
            "`hearth infra doctor` asks beyond the deployer's.",
        ),
    ],
    name: Annotated[StackName, typer.Argument(metavar="STACK", help=f"Which stack: {_STACKS}.")] = StackName.EC2,
    account: Annotated[
        str | None, typer.Option(metavar="NUMBER", show_default="AWS is asked for it", help="The account's number.")
    ] = None,
) -> None:
    """Print the IAM policy of whoever reads on a stack, deploys it, bakes images for it, or checks it before."""
    from infra_scripts.common.clients import explain_errors
    from infra_scripts.common.policy import PolicyName as Policies
    from infra_scripts.common.policy import policy as rendered

    with errors():
        settings = load_settings()
        region = _region(settings, None)
        if account is None:
            with explain_errors():
                account = connected(settings).account()
        filled = rendered(Policies(who.value), pool=settings.ec2.pool, account=account, region=region, stack=name.value)
        write(json.dumps(filled, indent=2) + "\n")


def connected(settings: Settings) -> Aws:
    """Return the clients of the region that the settings name."""
    from infra_scripts.common.clients import connect

    return connect(settings.ec2.region)


def _region(settings: Settings, region: str | None) -> str:
    """The region to say; found without asking AWS."""
    return region or settings.ec2.region or connected(settings).region


def _show(title: str, planned: StackPlan) -> None:
    table = plain_table("made", "what", "cost", title=title)
    for row in planned.rows:
        table.add_row(row.what, row.name, row.cost)
    costs = plain_table(*planned.costs.columns)
    for each in planned.costs.rows:
        costs.add_row(*each)
    _out.print(table)
    _out.print()
    _out.print(costs)
    _say(planned.notes)


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        _out.print(sentence, highlight=False, soft_wrap=True)


def _tell(text: str) -> None:
    _err.print(text, highlight=False, soft_wrap=True)


@contextmanager
def errors() -> Iterator[None]:
    """One line for a person, and the exit code."""
    try:
        yield
    except (InfraError, HearthError) as error:
        _err.error(str(error))
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _err.print("Interrupted. Run again to go on.")
        raise typer.Exit(130) from None
