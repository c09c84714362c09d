"""`hearth infra`: deploy stacks on AWS, show their status, and delete them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from flows.cli import options
from flows.cli.console import err, out, plain_table, print_json, write
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import InfraError
from infra_scripts.common.policy import PolicyName
from infra_scripts.common.policy import policy as render_policy
from tasks.core.errors import HearthError
from tasks.costs.price_book import current_book
from tasks.costs.rates import on_demand_usd_per_hour
from tasks.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws
    from infra_scripts.common.deployment import StackPlan, StackStatus


class _InfraGroup(TyperGroup):
    """The group of commands, which turns errors into one line on standard error and an exit code."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer has its own context
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (InfraError, HearthError) as error:
            err.error(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            err.print("Interrupted. Run the command again to continue.")
            raise typer.Exit(130) from None


infra = typer.Typer(cls=_InfraGroup, no_args_is_help=True, help="Deploy stacks on AWS, show their status, delete them.")


_STACK_HELP = f"The stack: {', '.join(StackName)}."
Name = Annotated[StackName, typer.Argument(metavar="STACK", help=_STACK_HELP)]
AllowFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-from",
        metavar="CIDR|SG",
        show_default="none; required unless access is by tunnel",
        help="Networks or security groups that may reach Ollama: 203.0.113.7/32, 10.0.0.0/16, sg-...; repeatable.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@infra.command()
def up(
    name: Name,
    allow_from: AllowFrom = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made and its cost, without asking AWS.")
    ] = False,
) -> None:
    """Create or update a stack.

    It costs almost nothing until a run uses it.
    """
    settings = load_settings()
    aws = None if dry_run else connected(settings)
    region = aws.region if aws else _region(settings)
    deployment = open_deployment(name, settings, Options(allow_from=tuple(allow_from or ())), region)
    _show(f"{deployment.name} in {region}", deployment.plan())
    if aws is None:
        return
    if not yes:
        typer.confirm("Make it?", abort=True)
    _say(deployment.up(aws, err.say))


@infra.command()
def down(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Delete it even if a run uses it.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also delete baked images and their snapshots.")] = False,
    yes: Yes = False,
) -> None:
    """Delete a stack and everything that it started.

    Then check that nothing is left that costs money.
    """
    settings = load_settings()
    aws = connected(settings)
    deployment = open_deployment(name, settings, Options(images=images), aws.region)
    if not yes:
        typer.confirm(f"Delete {deployment.teardown_summary}?", abort=True)
    _say(deployment.down(aws, err.say, force=force))


@infra.command()
def status(
    name: Annotated[StackName | None, typer.Argument(metavar="STACK", show_default="all", help=_STACK_HELP)] = None,
    as_json: options.Json = False,
) -> None:
    """Show which stacks are deployed, and which of their parts cost money."""
    settings = load_settings()
    aws = connected(settings)
    found: dict[StackName, StackStatus] = {}
    for stack in [name] if name else list(StackName):
        deployment = open_deployment(stack, settings, Options(), aws.region)
        found[stack] = deployment.status(aws)
        if not as_json:
            facts = "; ".join(f"{fact}: {value}" for fact, value in found[stack].facts)
            state = found[stack].state or "not deployed"
            out.say(f"{stack}: {deployment.name} in {aws.region}: {'. '.join(filter(None, (state, facts)))}")
    if as_json:
        print_json({stack: {"state": now.state, **dict(now.facts)} for stack, now in found.items()})


@infra.command()
def bake(yes: Yes = False) -> None:
    """Bake an image with Ollama and the model.

    Machines boot from it in a minute instead of ten.
    """
    from infra_scripts.ec2.bake import bake as bake_image
    from infra_scripts.ec2.baker import Bake

    settings = load_settings()
    aws = connected(settings)
    how = Bake(settings.ec2.pool, settings.ec2.types, settings.ec2_stack.base_ami_parameter)
    if not yes:
        usd = on_demand_usd_per_hour(how.types[0], aws.region, current_book(settings.home))
        cost = "at an unknown price" if usd is None else f"at about USD {usd:.2f} an hour"
        out.print(f"One {how.types[0]} runs for about 20 minutes, {cost}.")
        out.print("Then the image's snapshot costs about USD 0.05 per GB and month.")
        typer.confirm("Bake?", abort=True)
    out.print(f"Baked {bake_image(aws, how, err.say)}.")


@infra.command()
def template(name: Name, allow_from: AllowFrom = None) -> None:
    """Print a stack's CloudFormation template."""
    settings = load_settings()
    options = Options(allow_from=tuple(allow_from or ()))
    write(open_deployment(name, settings, options, _region(settings)).template())


@infra.command()
def policy(
    who: Annotated[
        PolicyName,
        typer.Argument(
            metavar="WHO",
            help="caller (reads on the stack), deployer (brings it up), baker (bakes images, ec2), or doctor (what "
            "`hearth infra doctor` needs beyond the deployer's policy).",
        ),
    ],
    name: Annotated[StackName, typer.Argument(metavar="STACK", help=_STACK_HELP)] = StackName.EC2,
    account: Annotated[
        str | None, typer.Option(metavar="NUMBER", show_default="AWS is asked", help="Account number, 12 digits.")
    ] = None,
) -> None:
    """Print the IAM policy that reading on, deploying, baking or checking a stack requires."""
    from infra_scripts.common.clients import explain_errors

    settings = load_settings()
    region = _region(settings)
    if account is None:
        with explain_errors():
            account = connected(settings).account()
    filled = render_policy(who, pool=settings.ec2.pool, account=account, region=region, stack=name.value)
    write(json.dumps(filled, indent=2) + "\n")


def connected(settings: Settings) -> Aws:
    """Return the clients of the configured region."""
    from infra_scripts.common.clients import connect

    return connect(settings.ec2.region)


def _region(settings: Settings) -> str:
    """Return the configured region without calling AWS."""
    return settings.ec2.region or connected(settings).region


def _show(title: str, planned: StackPlan) -> None:
    table = plain_table("made", "what", "cost", title=title)
    for row in planned.rows:
        table.add_row(row.what, row.name, row.cost)
    costs = plain_table(*planned.costs.columns)
    for cells in planned.costs.rows:
        costs.add_row(*cells)
    out.print(table)
    out.print()
    out.print(costs)
    _say(planned.notes)


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        out.say(sentence)
