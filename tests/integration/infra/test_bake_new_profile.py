"""A bake right after the first `up`: EC2 does not know the instance profile for seconds to minutes."""

from __future__ import annotations

import pytest

from infra_scripts.common.errors import InfraError
from infra_scripts.ec2.bake import bake
from tests.integration.infra.test_bake import bakers, deployed, how, machine_says
from tests.support.infra.fixtures import Cloud

__all__ = ["deployed"]
UNKNOWN = "Value for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"


def test_the_launch_is_repeated(deployed: Cloud):
    deployed.fail("RunInstances", "InvalidParameterValue", UNKNOWN, times=2)
    with machine_says(deployed, "serving"):
        image = bake(deployed.aws, how(), deployed.listen)
    assert deployed.parameter("/hearth/default/ami") == image
    assert deployed.told.count("EC2 does not know the new instance profile yet; trying again.") == 2


def test_the_launch_is_not_repeated_for_ever(deployed: Cloud):
    deployed.fail("RunInstances", "InvalidParameterValue", UNKNOWN)
    with pytest.raises(InfraError, match="Invalid IAM Instance Profile name"):
        bake(deployed.aws, how(settling_seconds=0.1), deployed.listen)
    assert bakers(deployed) == []


def test_another_invalid_value_is_reported_at_once(deployed: Cloud):
    deployed.fail("RunInstances", "InvalidParameterValue", "Invalid value 'x' for InstanceType")
    with pytest.raises(InfraError, match="Invalid value 'x'"):
        bake(deployed.aws, how(), deployed.listen)
    assert not any("trying again" in text for text in deployed.told)
