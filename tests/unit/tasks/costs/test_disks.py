"""What a machine's disk gives, by arithmetic: the default is what that says, and nothing is paid for in vain."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import moto
import pytest

from tasks.costs.assumptions import Assumptions
from tasks.costs.attribution import Kind, Rates, Span, Use, pieces
from tasks.costs.disks import MAX_MB_S, disk_mb_s, initialization_usd, model_seconds
from tasks.settings.ec2 import Ec2Settings, Ec2StackSettings, ModelDisk
from tasks.settings.ecs import EcsStackSettings

GB = {"model_gb": Assumptions().weights_gib * 1.074, "image_gb": 65.0}
MINUTE = 60_000


class TestThroughput:
    def test_the_types_take_what_amazon_answers_that_they_do(self):
        """moto ships DescribeInstanceTypes as AWS answered it."""
        file = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
        types = json.loads(gzip.decompress(file.read_bytes()))
        for name, most in MAX_MB_S.items():
            assert most == int(types[name]["EbsInfo"]["EbsOptimizedInfo"]["MaximumThroughputInMBps"]), name

    @pytest.mark.parametrize(
        ("wanted", "types", "paid"),
        [
            (1000, ("g4dn.xlarge",), 437),
            (1000, ("g4dn.xlarge", "g6.xlarge"), 625),
            (250, ("g4dn.xlarge",), 250),
            (1000, ("g4dn.8xlarge",), 1000),
            (1000, ("x9.huge", "g4dn.xlarge"), 1000),
        ],
    )
    def test_no_more_is_paid_for_than_a_type_of_the_pool_takes(self, wanted: int, types: tuple[str, ...], paid: int):
        assert disk_mb_s(wanted, types) == paid

    @pytest.mark.parametrize("stack", [Ec2StackSettings(), EcsStackSettings()], ids=["ec2", "ecs"])
    def test_of_the_default_none_of_the_default_types_lets_any_lie(self, stack: Ec2StackSettings | EcsStackSettings):
        assert stack.disk_throughput <= min(MAX_MB_S[name] for name in Ec2Settings().types)


class TestModel:
    def test_the_default_is_what_the_arithmetic_says_is_fastest_and_of_equal_ones_the_cheapest(self):
        def rank(how: ModelDisk) -> tuple[float, float]:
            return model_seconds(how, **GB, disk_mb_s=437).typical, initialization_usd(how, GB["image_gb"])

        assert min(ModelDisk, key=rank) is Ec2StackSettings().model_disk

    def test_one_reader_alone_would_take_longer_than_a_pull(self):
        """What a baked image was before: the reason for all this."""
        alone = GB["model_gb"] * 1000 / 20
        assert alone > model_seconds(ModelDisk.INSTANCE_STORE, **GB, disk_mb_s=437).typical

    def test_a_rate_that_is_paid_for_is_a_promise_that_no_assumption_exceeds(self):
        whole = GB["image_gb"] * 1000 / (300 * 1.048576)
        assert model_seconds(ModelDisk.PROVISIONED, **GB, disk_mb_s=437).high <= whole

    def test_reading_ahead_is_no_faster_than_the_disk(self):
        assert model_seconds(ModelDisk.PREFETCH, **GB, disk_mb_s=125).low == GB["model_gb"] * 1000 / 125

    def test_initialization_is_paid_for_by_the_gigabyte_and_only_where_it_was_chosen(self):
        assert initialization_usd(ModelDisk.PROVISIONED, 100) == pytest.approx(0.36)
        assert {initialization_usd(how, 100) for how in ModelDisk if how is not ModelDisk.PROVISIONED} == {0.0}


class TestBill:
    span = Span("i-1", "kind", 0, Rates(None, launch=0.36), up=MINUTE, ended=10 * MINUTE)

    def usd(self, span: Span, *uses: Use) -> float:
        return sum(piece.disk_usd for piece in pieces([span], uses, 20 * MINUTE))

    def test_filling_the_disk_is_paid_once_however_the_life_of_the_machine_is_cut(self):
        uses = (Use("i-1", "a", "a", 0, 5 * MINUTE), Use("i-1", "b", "b", 1000, 7 * MINUTE))
        assert self.usd(self.span) == pytest.approx(0.36)
        assert self.usd(self.span, *uses) == pytest.approx(0.36)

    def test_whoever_the_machine_was_started_for_pays_it(self):
        found = pieces([self.span], [Use("i-1", "a", "a", 500, MINUTE), Use("i-1", "b", "b", 2 * MINUTE)], 20 * MINUTE)
        assert {(piece.use and piece.use.holder, piece.kind) for piece in found if piece.disk_usd} == {("a", Kind.BOOT)}

    def test_one_that_ended_at_once_has_paid_it_too(self):
        assert self.usd(Span("i-1", "kind", 0, Rates(None, launch=0.36), ended=0)) == pytest.approx(0.36)
