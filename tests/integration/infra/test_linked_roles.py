"""Service-linked roles, created on moto's server before the stacks that need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from infra_scripts.common.clients import Aws
from infra_scripts.common.linked_roles import ensure_linked_roles
from infra_scripts.ec2.deploy import LINKED_SERVICES, up
from infra_scripts.iam.need import service_linked_roles
from tests.support.infra.deployments import FORMS, deployment, resources
from tests.support.infra.fixtures import Cloud, error_response
from tests.support.infra.pools import pool


class OneIam:
    """A session whose client of IAM refuses as it is told."""

    def __init__(self, cloud: Cloud) -> None:
        self.iam = cloud.aws.session.client("iam", config=cloud.aws.config)
        self._session = cloud.aws.session

    def client(self, name: str, **options: Any) -> Any:
        return self.iam if name == "iam" else self._session.client(name, **options)

    def refuse(self, code: str, message: str) -> None:
        """SCRIPTED: moto permits everything."""

        def answer(request: Any, **_: object) -> Any:
            return error_response(request.url, code, message, 403)

        self.iam.meta.events.register("before-send.iam.CreateServiceLinkedRole", answer)


@pytest.fixture
def refusing(cloud: Cloud) -> Iterator[Callable[[str, str], Aws]]:
    def made(code: str, message: str) -> Aws:
        session = OneIam(cloud)
        session.refuse(code, message)
        return replace(cloud.aws, session=session)  # type: ignore[arg-type]

    return made


def roles(cloud: Cloud) -> set[str]:
    iam = cloud.aws.session.client("iam", config=cloud.aws.config)
    return {role["Path"].split("/")[2] for role in iam.list_roles(PathPrefix="/aws-service-role/")["Roles"]}


def test_up_creates_the_roles_of_a_pool_before_any_launch(cloud: Cloud):
    up(cloud.aws, pool(), cloud.listen, poll_seconds=0.02)
    assert set(LINKED_SERVICES) <= roles(cloud)
    assert any("service-linked role of spot.amazonaws.com was created" in text for text in cloud.told)


def test_existing_roles_are_not_changed(cloud: Cloud):
    assert ensure_linked_roles(cloud.aws, LINKED_SERVICES, cloud.listen) == LINKED_SERVICES
    cloud.told.clear()
    assert ensure_linked_roles(cloud.aws, LINKED_SERVICES, cloud.listen) == ()
    assert cloud.told == []


def test_iam_reports_an_existing_role_as_a_taken_name(cloud: Cloud, refusing: Callable[[str, str], Aws]):
    aws = refusing("InvalidInput", "Service role name AWSServiceRoleForEC2Spot has been taken in this account")
    assert ensure_linked_roles(aws, LINKED_SERVICES, cloud.listen) == ()
    assert cloud.told == []


def test_without_permission_a_warning_is_shown_and_the_deployment_continues(
    cloud: Cloud, refusing: Callable[[str, str], Aws]
):
    aws = refusing("AccessDenied", "not authorized to perform: iam:CreateServiceLinkedRole")
    assert ensure_linked_roles(aws, ("spot.amazonaws.com",), cloud.listen) == ()
    (told,) = cloud.told
    assert "spot.amazonaws.com" in told
    assert "`hearth infra policy deployer`" in told


@pytest.mark.parametrize("form", FORMS)
def test_a_stack_names_every_service_whose_role_it_needs(form: str):
    assert set(service_linked_roles(resources(form))) <= set(deployment(form).request().linked_services)
