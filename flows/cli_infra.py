"""`hearth infra`: the pool's stack on AWS, brought up, baked and taken down. Thin over infra_scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra_scripts.errors import InfraError
from tasks.errors import HearthError
from tasks.prices import gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from infra_scripts.clients import Aws
    from infra_scripts.ec2 import Ec2Stack, Plan

infra = typer.Typer(no_args_is_help=True, help="Deploy the machines' stack on AWS, bake its image, take it down.")
_out = Console()
_err = Console(stderr=True)


class Target(StrEnum):
    """Where machines run."""

    EC2 = "ec2"


class Who(StrEnum):
    """Whose IAM policy."""

    CALLER = "caller"
    DEPLOYER = "deployer"


AllowFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-from",
        metavar="CIDR|SG",
        help="Who may reach the machines: 203.0.113.7/32, 10.0.0.0/16, sg-...; repeatable; none with access by tunnel.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@infra.command()
def up(
    _target: Annotated[Target, typer.Argument(metavar="ec2", help="Where machines run.")],
    allow_from: AllowFrom = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made and its cost; ask AWS nothing.")
    ] = False,
) -> None:
    """Create or update the pool's stack. It costs next to nothing until a run launches a machine."""
    from infra_scripts.deploy import up as bring_up

    with _errors():
        settings = load_settings()
        aws = None if dry_run else _connect(settings)
        stack = _stack(settings, allow_from, aws.region if aws else None)
        _show(stack, _plan(settings, stack), stack.region)
        if aws is None:
            return
        if not yes:
            typer.confirm("Make it?", abort=True)
        done = bring_up(aws, stack, _tell)
        _out.print(f"The stack {stack.name} in {stack.region} is {done.change}.", highlight=False)
        _out.print(f"Read with it:  HEARTH_EC2__POOL={stack.pool} hearth read paper.pdf --backend ec2", highlight=False)


@infra.command()
def down(
    _target: Annotated[Target, typer.Argument(metavar="ec2", help="Where machines run.")],
    force: Annotated[bool, typer.Option("--force", help="End running machines, too, and what they do.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Delete the baked images and their snapshots, too.")] = False,
    yes: Yes = False,
) -> None:
    """Terminate the pool's machines and delete its stack, parameters and, if asked, images."""
    from infra_scripts.deploy import down as take_down

    with _errors():
        settings = load_settings()
        aws = _connect(settings)
        pool = settings.ec2.pool
        if not yes:
            what = "its machines, stack, parameters" + (" and images" if images else "")
            typer.confirm(f"Delete the pool {pool} in {aws.region}: {what}?", abort=True)
        done = take_down(aws, pool, _tell, force=force, with_images=images)
        _out.print(f"The pool {pool} in {aws.region} is gone.", highlight=False)
        if done.kept:
            _out.print(f"Kept, and paid for: {', '.join(done.kept)}. --images deletes them.", highlight=False)


@infra.command()
def bake(yes: Yes = False) -> None:
    """Bake an image with Ollama and the model on it, so that machines boot in a minute instead of ten."""
    from infra_scripts.bake import bake as bake_image
    from infra_scripts.baker import Bake

    with _errors():
        settings = load_settings()
        aws = _connect(settings)
        how = Bake(settings.ec2.pool, settings.ec2.types, settings.ec2_stack.base_ami_parameter)
        if not yes:
            usd = on_demand_usd_per_hour(how.types[0])
            cost = "at a price not known" if usd is None else f"at about USD {usd:.2f} an hour"
            _out.print(f"One {how.types[0]} runs for about 20 minutes, {cost};", highlight=False)
            _out.print("then the image's snapshot costs about USD 0.05 per GB and month.", highlight=False)
            typer.confirm("Bake?", abort=True)
        image = bake_image(aws, how, _tell)
        _out.print(f"Baked {image}.", highlight=False)


@infra.command()
def template(
    _target: Annotated[Target, typer.Argument(metavar="ec2", help="Where machines run.")],
    allow_from: AllowFrom = None,
) -> None:
    """Print the CloudFormation template, for whoever wants to read it or to deploy it otherwise."""
    from infra_scripts.ec2 import template as rendered

    with _errors():
        sys.stdout.write(rendered(_stack(load_settings(), allow_from, None)))


@infra.command()
def policy(
    who: Annotated[Who, typer.Argument(help="caller: reads on machines. deployer: runs `hearth infra`.")],
    account: Annotated[str | None, typer.Option(help="The account's number; AWS is asked for it if unset.")] = None,
) -> None:
    """Print the least-privilege IAM policy of whoever reads on machines, or deploys them."""
    from infra_scripts.clients import told
    from infra_scripts.policy import Who as Policies
    from infra_scripts.policy import policy as rendered

    with _errors():
        settings = load_settings()
        region = _region(settings, None)
        if account is None:
            with told():
                account = _connect(settings).account()
        filled = rendered(Policies(who.value), pool=settings.ec2.pool, account=account, region=region)
        sys.stdout.write(json.dumps(filled, indent=2) + "\n")


def _connect(settings: Settings) -> Aws:
    from infra_scripts.clients import connect

    return connect(settings.ec2.region)


def _region(settings: Settings, connected: str | None) -> str:
    """The region to say; found without asking AWS."""
    return connected or settings.ec2.region or _connect(settings).region


def _stack(settings: Settings, allow_from: list[str] | None, connected: str | None) -> Ec2Stack:
    from infra_scripts.ec2 import Ec2Stack

    pool, machine = settings.ec2, settings.ec2_stack
    return Ec2Stack(
        pool=pool.pool,
        region=_region(settings, connected),
        access=machine.access.value,
        allow_from=tuple(allow_from or ()),
        model=machine.model,
        ollama_version=machine.ollama_version,
        slots=machine.slots,
        num_ctx=machine.num_ctx,
        disk_gb=machine.disk_gb,
        disk_throughput=machine.disk_throughput,
        idle_seconds=machine.watchdog_minutes * 60,
        boot_seconds=pool.boot_seconds,
        lifetime_seconds=machine.lifetime_hours * 3600,
        base_ami_parameter=machine.base_ami_parameter,
        subnets=machine.subnets,
    )


def _plan(settings: Settings, stack: Ec2Stack) -> Plan:
    from infra_scripts.ec2 import plan

    prices = {name: on_demand_usd_per_hour(name) for name in settings.ec2.types}
    return plan(stack, prices, gp3_usd_per_hour(stack.disk_gb, stack.disk_throughput))


def _show(stack: Ec2Stack, planned: Plan, region: str) -> None:
    table = Table(
        "made", "what", "cost", title=f"{stack.name} in {region}", title_justify="left", box=None, pad_edge=False
    )
    for row in planned.rows:
        table.add_row(row.what, escape(row.name), row.cost)
    _out.print(table)
    costs = Table("machine", "running, on demand", "stopped", box=None, pad_edge=False)
    stopped = f"USD {planned.stopped_usd_per_month:.2f} a month"
    for name, usd in planned.machine_usd_per_hour.items():
        costs.add_row(name, "not known" if usd is None else f"USD {usd:.3f} an hour", stopped)
    _out.print()
    _out.print(costs)
    _out.print("Prices of us-east-1; disks included, a public IPv4 address (USD 0.005 an hour) not.", highlight=False)
    _out.print("Spot machines cost less, and are never stopped but ended.")


def _tell(text: str) -> None:
    _err.print(escape(text), highlight=False, soft_wrap=True)


@contextmanager
def _errors() -> Iterator[None]:
    """One line for a person, and the exit code."""
    try:
        yield
    except (InfraError, HearthError) as error:
        _err.print(f"[red]Error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _err.print("Interrupted. Run again to go on.")
        raise typer.Exit(130) from None
