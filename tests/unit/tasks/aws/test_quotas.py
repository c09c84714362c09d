"""An account's quotas, as Service Quotas answers. Its answers are SIMULATED: moto has none of these."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.aws.quotas import Quota, ec2_quota, ec2_quota_name, endpoint_quota, of_quotas
from tasks.core.errors import CloudError
from tasks.core.finding import State


def aws(value: float = 8.0, vcpus: int = 4, refusal: CloudError | None = None, pages: int = 1) -> Any:
    def get_service_quota(ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803 - AWS's names
        if refusal is not None:
            raise refusal
        assert (ServiceCode, QuotaCode) == ("ec2", "L-DB2E81BA")
        return {"Quota": {"Value": value}}

    def paginate(ServiceCode: str) -> Any:  # noqa: N803
        if refusal is not None:
            raise refusal
        assert ServiceCode == "sagemaker"
        for page in range(1, pages + 1):
            quotas = [{"QuotaName": f"ml.p{page}.xlarge for endpoint usage", "Value": 9.0}]
            if page == pages:
                quotas.append({"QuotaName": "ml.g4dn.xlarge for endpoint usage", "Value": value})
            yield {"Quotas": quotas}

    def describe_instance_types(InstanceTypes: list[str]) -> Any:  # noqa: N803
        return {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": vcpus}}]}

    pages_of = {"list_service_quotas": SimpleNamespace(paginate=paginate)}
    quotas = SimpleNamespace(get_service_quota=get_service_quota, get_paginator=pages_of.__getitem__)
    return SimpleNamespace(service_quotas=quotas, ec2=SimpleNamespace(describe_instance_types=describe_instance_types))


@pytest.mark.parametrize(
    ("market", "instance_type", "code"),
    [
        ("on-demand", "g4dn.xlarge", "L-DB2E81BA"),
        ("spot", "g4dn.xlarge", "L-3819A6DF"),
        ("on-demand", "c5.2xlarge", "L-1216C47A"),
        ("spot", "c5.2xlarge", "L-34B43A08"),
    ],
)
def test_which_quota_counts_a_machine(market: str, instance_type: str, code: str):
    assert code in ec2_quota_name(market, instance_type)


async def test_vcpus_that_are_allowed_are_held_against_those_of_a_machine():
    assert (await ec2_quota(aws(8.0, 4), "on-demand", "g4dn.xlarge")).suffices
    assert not (await ec2_quota(aws(0.0, 4), "on-demand", "g4dn.xlarge")).suffices


async def test_an_endpoints_quota_is_found_by_its_name_on_any_page():
    assert (await endpoint_quota(aws(1.0, pages=3), "ml.g4dn.xlarge")).allowed == 1.0


async def test_who_may_not_ask_does_not_know_and_that_forbids_nothing():
    refused = aws(refusal=CloudError("AWS does not permit GetServiceQuota.", "AccessDenied"))
    found = of_quotas(await ec2_quota(refused, "on-demand", "g4dn.xlarge"))
    assert found.state is State.UNKNOWN
    assert "does not permit GetServiceQuota" in found.why
    assert of_quotas(await endpoint_quota(refused, "ml.g4dn.xlarge")).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("allowed", "state"),
    [([0.0, 4.0], State.OK), ([4.0, None], State.OK), ([0.0, None], State.UNKNOWN), ([0.0, 0.0], State.MISSING)],
)
def test_of_two_markets_one_will_do(allowed: list[float | None], state: State):
    assert of_quotas(*[Quota(f"of {each}", each, 4.0) for each in allowed]).state is state
