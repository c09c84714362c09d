"""Every CloudFormation template, judged by checkov: what it finds must be justified in the template."""

from __future__ import annotations

import pytest

from infra_scripts.ec2 import template as ec2
from infra_scripts.ecs import service as ecs
from infra_scripts.monitoring import dashboard as monitoring
from infra_scripts.sagemaker import endpoint as sagemaker
from infra_scripts.trigger import upload_trigger as trigger
from tests.support.infra.endpoints import endpoint
from tests.support.infra.judges import checkov_findings
from tests.support.infra.pools import pool
from tests.support.infra.services import service
from tests.support.tools import CHECKOV, needs

pytestmark = pytest.mark.long("runs checkov: 16 s")

WEIGHTS = "s3://weights/store/"
MODELS = ("qwen2.5vl:7b", "gemma3:12b")
TEMPLATES = {
    **{f"ec2-{access}": ec2.template(pool(access=access)) for access in ("token", "private", "tunnel")},
    "ecs": ecs.template(service()),
    "sagemaker-async": sagemaker.template(endpoint(model_data=WEIGHTS)),
    "sagemaker-realtime": sagemaker.template(
        endpoint(serving="realtime", models=MODELS, max_copies=3, model_data=WEIGHTS)
    ),
    "trigger": trigger.template(),
    "monitoring": monitoring.template(),
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return checkov_findings(TEMPLATES, tmp_path_factory.mktemp("templates"))


@needs(CHECKOV)
@pytest.mark.parametrize("name", TEMPLATES)
def test_checkov_finds_nothing_that_is_not_justified(findings: dict[str, list[str]], name: str):
    assert findings[name] == []
