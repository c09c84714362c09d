"""`hearth infra smoke`: a stack tried out for a few cents, and measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, write
from flows.cli.infra import AllowFrom, Name, Yes, connected, errors
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from tasks.core.errors import InputError
from tasks.costs.price_book import current_book
from tasks.settings.settings import load_settings

if TYPE_CHECKING:
    from flows.local.smoke import Trial
    from flows.local.smoke_target import Target
    from infra_scripts.common.clients import Aws
    from infra_scripts.common.deployment import Deployment
    from tasks.planning.measured import Measurement

_EXIT_FAILED, _EXIT_INTERRUPTED = 1, 130
_out = Terminal()
_err = Terminal(stderr=True)


def smoke(
    name: Name,
    max_usd: Annotated[
        float | None, typer.Option(metavar="USD", show_default="required", help="Most that the trial may cost.")
    ] = None,
    allow_from: AllowFrom = None,
    bake: Annotated[
        bool, typer.Option("--bake", help="Bake an image first, and boot from that (EC2): 20 minutes more.")
    ] = False,
    yes: Yes = False,
    as_json: options.Json = False,
) -> None:
    """Try a stack out: one page on its cheapest machine, measured; then everything is removed.

    The stack must not be deployed; name a pool of its own with
    HEARTH_EC2__POOL. What was measured is kept in a file that `hearth plan`
    prefers to its assumptions, and that can be sent to Hearth's issues.

    Exit codes:
    0    the page was read, and nothing is left
    1    the page was not read, or something is left; it is listed
    2    the request is wrong; nothing was made
    130  interrupted; what is left is listed
    """
    from flows.local.smoke import Trial, run_trial
    from flows.local.smoke_page import PageReader
    from flows.local.smoke_target import target_of

    with errors():
        if max_usd is None or max_usd <= 0:
            raise InputError("Say what the trial may cost at most, such as --max-usd 0.50.")
        settings = load_settings()
        aws = connected(settings)
        target = target_of(name, settings, aws.region, max_usd, current_book(settings.home))
        opened = Options(allow_from=tuple(allow_from or ()), images=bake)
        deployment = open_deployment(name, target.settings, opened, aws.region)
        deployment.plan()  # a wrong setting is refused before AWS is asked
        prepare = _preparation(name, target, deployment, aws, bake=bake)
        _refuse_what_is_there(deployment, aws)
        minutes = target.work_seconds / 60
        _err.say(
            f"One {target.kind}, at most USD {max_usd:g}: it is removed after {minutes:.0f} minutes at the latest."
        )
        if not yes:
            typer.confirm(f"Make {deployment.name} in {aws.region}, read a page, and delete it?", abort=True)
        trial = Trial()
        try:
            run_trial(deployment, target, aws, _err.say, PageReader(target), prepare, trial)
        except KeyboardInterrupt:
            raise typer.Exit(_EXIT_INTERRUPTED) from None
        finally:
            _tell(trial, target, as_json=as_json, baked=bake, region=aws.region)
    if trial.left:
        raise typer.Exit(_EXIT_FAILED)


def _refuse_what_is_there(deployment: Deployment, aws: Aws) -> None:
    found = deployment.status(aws)
    images = dict(found.facts).get("images", "none baked")
    if found.state is None and images == "none baked":
        return
    there = f"The stack {deployment.name} is deployed" if found.state else f"The pool has images ({images})"
    raise InputError(f"{there}, and the trial would delete it. Try another pool, such as HEARTH_EC2__POOL=smoke.")


def _preparation(
    name: StackName, target: Target, deployment: Deployment, aws: Aws, *, bake: bool
) -> Callable[[], None]:
    """What comes between the stack and the page.

    Raises:
        InputError: it cannot be done here.
    """
    if bake and name is not StackName.EC2:
        raise InputError(f"--bake means nothing to the stack {name}. Leave it away.")
    if bake:
        from infra_scripts.ec2.bake import bake as bake_image
        from infra_scripts.ec2.baker import Bake

        ec2, stack = target.settings.ec2, target.settings.ec2_stack
        return lambda: _err.say(bake_image(aws, Bake(ec2.pool, ec2.types, stack.base_ami_parameter), _err.say))
    if name is not StackName.ECS:
        return lambda: None
    if shutil.which("docker") is None:
        raise InputError("The tasks' image is built between the stack and the page, and docker is not on PATH.")

    def build() -> None:
        from infra_scripts.ecs.service import BUILD_SCRIPT

        image = f"{dict(deployment.status(aws).facts)['image']}"
        made = target.settings.ecs_stack
        subprocess.run(  # noqa: S603 - our own script
            ["/bin/sh", str(BUILD_SCRIPT), image, made.model, made.ollama_version], check=True, stdout=2
        )

    return build


def _tell(trial: Trial, target: Target, *, as_json: bool, baked: bool, region: str) -> None:
    from tasks.planning.measured import save_measurement

    measured = _measured(trial, target, baked=baked, region=region) if trial.manifest else None
    file = None if measured is None else save_measurement(measured, target.settings.home)
    if as_json:
        told = {"read": measured is not None, "left": list(trial.left), "usd_at_most": round(trial.usd, 4)}
        facts = None if measured is None else measured.model_dump(mode="json")
        write(json.dumps({**told, "measured": facts, "file": None if file is None else str(file)}) + "\n")
        return
    if measured is not None:
        gpu = "none" if measured.gpu_memory_gib is None else f"{measured.gpu_memory_gib:.1f} GiB"
        times = f"boot {measured.boot_seconds:.0f} s, load {measured.load_seconds:.0f} s"
        page = f"page {measured.page_seconds:.1f} s, {measured.slots} slots, GPU memory {gpu}"
        _out.say(f"{measured.instance_type}, {measured.model}: {times}, {page}.")
        _out.say(f"Kept in {file}: `hearth plan` uses it. It holds nothing of yours; send it to Hearth's issues.")
    _out.say(f"Spent: USD {trial.usd:.2f} at most.")
    _out.say(f"Left: {', '.join(trial.left)}. Delete it: hearth infra down." if trial.left else "Nothing is left.")


def _measured(trial: Trial, target: Target, *, baked: bool, region: str) -> Measurement:
    from tasks.planning.measured import Measurement

    manifest = trial.manifest
    assert manifest is not None  # noqa: S101 - it was looked
    assert manifest.insight is not None  # noqa: S101 - a page was read
    figures, endpoint = manifest.insight.figures, manifest.endpoint
    bytes_ = endpoint.gpu_bytes if endpoint else None
    return Measurement(
        hearth=version("hearth-pages"),
        day=datetime.now(UTC).date(),
        stack=target.stack.value,
        region=region,
        instance_type=target.kind,
        market="spot" if any(" spot " in machine.kind for machine in manifest.machines) else "on-demand",
        model=manifest.model,
        num_ctx=target.num_ctx,
        baked=baked,
        boot_seconds=round(figures.boot, 1),
        load_seconds=round(figures.load, 1),
        page_seconds=round(manifest.page_seconds, 2),
        slots=endpoint.slots if endpoint else 1,
        gpu_memory_gib=None if bytes_ is None else round(bytes_ / 2**30, 2),
        usd=round(trial.usd, 4),
    )
