"""Deploy a pool of EC2 machines."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from flows.stacks.base import Deployment
from infra_scripts.common.clients import explain_errors
from infra_scripts.common.deployment import CostTable, StackPlan, StackRequest, StackStatus
from infra_scripts.common.instances import images, machines
from infra_scripts.common.needs import Machines, Needs
from infra_scripts.ec2.deploy import down, request, up
from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.template import plan_rows
from tasks.core.options import BackendName, Options
from tasks.costs.disks import disk_mb_s, initialization_usd
from tasks.costs.rates import HOURS_A_MONTH, gp3_usd_per_hour, on_demand_usd_per_hour, price_notes
from tasks.ollama.schema import load_body
from tasks.runs.setup import choose_setup

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener

_NOTES = (
    "Prices include disks, but not a public IPv4 address (USD 0.005 an hour).",
    "Spot machines cost less. They are terminated instead of stopped.",
)
_LOADED_SECONDS = 120
"""How long a model that a machine has loaded by itself waits for the run's first request, seconds."""


class Ec2Deployment(Deployment):
    """A pool of machines, which runs launch when they need them."""

    supported_options: ClassVar[frozenset[str]] = frozenset({"allow_from", "images"})

    @property
    def name(self) -> str:
        """The name of the CloudFormation stack."""
        return f"hearth-{self.pool}"

    @property
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for a question to the user."""
        and_images = " and images" if self.options.images else ""
        return f"the pool {self.pool} in {self.region}: its machines, stack, parameters{and_images}"

    def plan(self) -> StackPlan:
        """Return what `up` makes, and its cost."""
        stack = self._stack()
        region, book, types = self.region, self.book, self.settings.ec2.types
        prices = {name: on_demand_usd_per_hour(name, region, book) for name in types}
        disk = gp3_usd_per_hour(stack.disk_gb, stack.disk_throughput, region, book)
        filling = initialization_usd(stack.model_disk, stack.disk_gb, region, book)
        stopped = f"USD {disk * HOURS_A_MONTH:.2f} a month"
        machine_rows = tuple(
            (name, "unknown" if usd is None else f"USD {usd + disk:.3f} an hour", stopped)
            for name, usd in prices.items()
        )
        items = [*types, "gp3:gb", *(["ebs:init_gb"] if filling else [])]
        notes = (*_NOTES, *self._capped(stack), *price_notes(items, region, book))
        costs = CostTable(("machine", "running, on demand", "stopped"), machine_rows)
        return StackPlan(plan_rows(stack, filling), costs, notes)

    def needs(self) -> Needs:
        """Return the machines that it launches, and their markets."""
        stack = self.settings.ec2_stack
        machines = Machines(
            types=self.settings.ec2.types,
            markets=self.settings.ec2.spot_policy.markets,
            ami_parameter=stack.base_ami_parameter,
            ami_setting="HEARTH_EC2_STACK__BASE_AMI_PARAMETER",
            disk_gb=stack.disk_gb,
            disk_setting="HEARTH_EC2_STACK__DISK_GB",
        )
        return Needs(machines=machines)

    def request(self, aws: Aws | None = None) -> StackRequest:
        """Return the request of `up`."""
        return request(aws, self._stack(), lambda _: None)

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the pool's stack."""
        done = up(aws, self._stack(), listener)
        return (
            f"The stack {self.name} in {self.region} is {done.change}.",
            f"Read with it:  HEARTH_EC2__POOL={self.pool} hearth read paper.pdf --backend ec2",
        )

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Terminate the machines, and delete the stack, the parameters and, with --images, the images."""
        done = down(aws, self.pool, listener, force=force, with_images=self.options.images)
        kept = (f"Kept, and still paid for: {', '.join(done.kept)}. --images deletes them.",) if done.kept else ()
        return (f"The pool {self.pool} in {self.region} is gone.", *kept)

    def status(self, aws: Aws) -> StackStatus:
        """Return the status of the stack, its machines and its images."""
        state, outputs = self.describe(aws)
        with explain_errors():
            states = Counter(machine.state for machine in machines(aws, self.pool))
            baked = [image["ImageId"] for image in images(aws, self.pool)]
        access = (("access", f"{outputs['Access']}, port {outputs['Port']}"),) if "Access" in outputs else ()
        counts = ", ".join(f"{count} {name}" for name, count in sorted(states.items()))
        return StackStatus(
            state, (*access, ("machines", counts or "none"), ("images", ", ".join(baked) or "none baked"))
        )

    def _capped(self, stack: Ec2Stack) -> tuple[str, ...]:
        configured, capped = self.settings.ec2_stack.disk_throughput, stack.disk_throughput
        note = f"Disks get {capped} MB/s instead of {configured}: no instance type of the pool supports more."
        return () if configured == capped else (note,)

    def _stack(self) -> Ec2Stack:
        pool, values = self.settings.ec2, self.settings.ec2_stack.model_dump()
        values["disk_throughput"] = disk_mb_s(values["disk_throughput"], pool.types)
        return Ec2Stack(
            **values,
            pool=pool.pool,
            region=self.region,
            allow_from=self.options.allow_from,
            boot_seconds=pool.boot_seconds,
            terminate_hours=pool.terminate_hours,
            load=self._load(),
        )

    def _load(self) -> str:
        """Return the request that loads the pool's model with the options of pages that are read with these settings.

        Raises:
            InputError: the model cannot be used.
        """
        requested = Options(backend=BackendName.EC2, model=self.settings.ec2_stack.model)
        return json.dumps(load_body(choose_setup(requested, self.settings).call.request(_LOADED_SECONDS)))


deployment = Ec2Deployment
