"""`hearth infra smoke`: test a stack with one page for a few cents, and measure it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.console import err, out, print_json
from flows.cli.infra import AllowFrom, Name, Yes, connected
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from tasks.core.errors import InputError
from tasks.costs.price_book import current_book
from tasks.settings.settings import load_settings
from tasks.text.slots import slots_text

if TYPE_CHECKING:
    from flows.local.smoke import Trial
    from flows.local.smoke_target import Target
    from flows.stacks.base import Deployment
    from infra_scripts.common.clients import Aws
    from tasks.planning.measured import Measurement
    from tasks.results.manifest import Manifest

_EXIT_FAILED, _EXIT_INTERRUPTED = 1, 130


def smoke(
    name: Name,
    max_usd: Annotated[
        float | None, typer.Option(metavar="USD", show_default="required", help="Maximum cost of the test.")
    ] = None,
    allow_from: AllowFrom = None,
    bake: Annotated[
        bool, typer.Option("--bake", help="Bake an image first and boot from it (EC2): 20 minutes more.")
    ] = False,
    yes: Yes = False,
    as_json: options.Json = False,
) -> None:
    """Test a stack: read one page on its cheapest machine, measure it, and remove everything.

    The stack must not be deployed yet; HEARTH_EC2__POOL names another pool.
    The measurements are stored in a file. `hearth plan` prefers them to its
    assumptions, and you can send the file to Hearth's issues.

    Exit codes:
    0    the page was read, and nothing is left
    1    the page was not read, or something is left, which is listed
    2    the request is wrong; nothing was made
    130  interrupted; what is left is listed
    """
    from flows.local.smoke import PageReader, Trial, run_trial
    from flows.local.smoke_target import target_of

    if max_usd is None or max_usd <= 0:
        raise InputError("Set the maximum cost of the test, for example --max-usd 0.50.")
    settings = load_settings()
    aws = connected(settings)
    target = target_of(name, settings, aws.region, max_usd, current_book(settings.home))
    chosen = Options(allow_from=tuple(allow_from or ()), images=bake)
    deployment = open_deployment(name, target.settings, chosen, aws.region)
    deployment.plan()  # rejects a wrong setting before AWS is called
    prepare = _preparation(target, deployment, aws, bake=bake)
    _refuse_deployed(deployment, aws)
    minutes = target.work_seconds / 60
    err.say(
        f"One {target.instance_type} for at most USD {max_usd:g}: "
        f"its removal begins after {minutes:.0f} minutes at the latest."
    )
    if not yes:
        typer.confirm(f"Make {deployment.name} in {aws.region}, read a page, and delete it?", abort=True)
    trial = Trial()
    try:
        run_trial(deployment, target, aws, err.say, PageReader(target), prepare, trial)
    except KeyboardInterrupt:
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    finally:
        measurement = _measured(trial.manifest, trial, target, aws.region, baked=bake) if trial.manifest else None
        _report(trial, measurement, target, as_json=as_json)
    if trial.left:
        raise typer.Exit(_EXIT_FAILED)


def _refuse_deployed(deployment: Deployment, aws: Aws) -> None:
    status = deployment.status(aws)
    images = dict(status.facts).get("images", "none baked")
    if status.state is None and images == "none baked":
        return
    found = f"The stack {deployment.name} is deployed" if status.state else f"The pool has images ({images})"
    raise InputError(f"{found}, and the test would delete it. Use another pool, for example HEARTH_EC2__POOL=smoke.")


def _preparation(target: Target, deployment: Deployment, aws: Aws, *, bake: bool) -> Callable[[], None]:
    """Return what has to be done between the deployment and the page.

    Raises:
        InputError: it cannot be done on this machine.
    """
    if bake and target.stack is not StackName.EC2:
        raise InputError(f"The {target.stack} stack does not support --bake. Remove it.")
    if bake:
        from infra_scripts.ec2.bake import bake as bake_image
        from infra_scripts.ec2.baker import Bake

        ec2, stack = target.settings.ec2, target.settings.ec2_stack
        return lambda: err.say(bake_image(aws, Bake(ec2.pool, ec2.types, stack.base_ami_parameter), err.say))
    if target.stack is not StackName.ECS:
        return lambda: None
    if shutil.which("docker") is None:
        raise InputError("The test builds the image of the ECS tasks, and docker is not on PATH. Install Docker.")

    def build() -> None:
        from infra_scripts.ecs.service import BUILD_SCRIPT

        image = f"{dict(deployment.status(aws).facts)['image']}"
        service = target.settings.ecs_stack
        subprocess.run(  # noqa: S603 - our own script
            ["/bin/sh", str(BUILD_SCRIPT), image, service.model, service.ollama_version], check=True, stdout=2
        )

    return build


def _report(trial: Trial, measured: Measurement | None, target: Target, *, as_json: bool) -> None:
    from tasks.planning.measured import save_measurement

    file = None if measured is None else save_measurement(measured, target.settings.home)
    if as_json:
        outcome = {"read": measured is not None, "left": list(trial.left), "usd_at_most": round(trial.usd, 4)}
        facts = None if measured is None else measured.model_dump(mode="json")
        print_json({**outcome, "measured": facts, "file": None if file is None else str(file)})
        return
    if measured is not None:
        gpu = "none" if measured.gpu_memory_gib is None else f"{measured.gpu_memory_gib:.1f} GiB"
        times = f"boot {measured.boot_seconds:.0f} s, load {measured.load_seconds:.0f} s"
        page = f"page {measured.page_seconds:.1f} s, set up for {slots_text(measured.slots)}, GPU memory {gpu}"
        out.say(f"{measured.instance_type}, {measured.model}: {times}, {page}.")
        out.say(f"Stored in {file} for `hearth plan`. It holds no private data: you can send it to Hearth's issues.")
    out.say(f"Spent: USD {trial.usd:.2f} at most.")
    left = f"Left: {', '.join(trial.left)}. Delete it with: hearth infra down {target.stack}"
    out.say(left if trial.left else "Nothing is left.")


def _measured(manifest: Manifest, trial: Trial, target: Target, region: str, *, baked: bool) -> Measurement:
    from tasks.planning.measured import Measurement

    assert manifest.insight is not None  # noqa: S101 - a page was read
    figures, endpoint = manifest.insight.figures, manifest.endpoint
    gpu_bytes = endpoint.gpu_bytes if endpoint else None
    return Measurement(
        hearth=version("hearth-pages"),
        day=datetime.now(UTC).date(),
        stack=target.stack.value,
        region=region,
        instance_type=target.instance_type,
        market="spot" if any(" spot " in machine.kind for machine in manifest.machines) else "on-demand",
        model=manifest.model,
        num_ctx=target.num_ctx,
        baked=baked,
        boot_seconds=round(figures.boot, 1),
        load_seconds=round(figures.load, 1),
        page_seconds=round(manifest.page_seconds, 2),
        slots=endpoint.slots if endpoint else 1,
        gpu_memory_gib=None if gpu_bytes is None else round(gpu_bytes / 2**30, 2),
        usd=round(trial.usd, 4),
    )
