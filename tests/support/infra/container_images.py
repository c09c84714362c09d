"""Images in moto's ECR, as a push would leave them."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra_scripts.common.container_images import DOCKER_MANIFEST, parse_image


def push_image(name: str, media_type: str = DOCKER_MANIFEST, client: Any = None) -> None:
    """Have an image in ECR, with a manifest of a media type."""
    image = parse_image(name)
    assert image is not None
    ecr: Any = client or boto3.client("ecr", region_name=image.region)
    with suppress(ClientError):  # made before
        ecr.create_repository(registryId=image.account, repositoryName=image.repository)
    layer = {"digest": f"sha256:{hashlib.sha256(name.encode()).hexdigest()}", "size": 7}
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": {"size": 5}, "layers": [layer]}
    ecr.put_image(
        registryId=image.account,
        repositoryName=image.repository,
        imageManifest=json.dumps(manifest),
        imageTag=image.reference,
    )
