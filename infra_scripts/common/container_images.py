"""Container images in ECR: existence and manifest type are checked before a deployment that needs them."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, error_code
from infra_scripts.common.errors import RequestError

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
ECS_MEDIA_TYPES = frozenset({DOCKER_MANIFEST, OCI_MANIFEST, DOCKER_LIST, OCI_INDEX})
"""Manifests that ECS and Fargate pull."""
SAGEMAKER_MEDIA_TYPES = frozenset({DOCKER_MANIFEST})
"""Manifests that SageMaker's CreateModel accepts (https://github.com/aws/amazon-sagemaker-feedback/issues/180)."""
_ECR = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<repository>[a-z0-9._/-]+)"
    r"(:(?P<tag>[A-Za-z0-9._-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MISSING = {"ImageNotFoundException", "RepositoryNotFoundException"}
BUILD_REMEDY = "Build and push it with infra_scripts/common/push_image.sh, which creates a manifest that AWS accepts."


@dataclass(frozen=True)
class EcrImage:
    """The parts of an image's name in ECR; `reference` is its digest, or else its tag."""

    name: str
    account: str
    region: str
    repository: str
    reference: str


@dataclass(frozen=True)
class FoundImage:
    """An image in ECR; `bytes` is the compressed size, of the largest platform if there are several."""

    digest: str
    media_type: str
    bytes: int


def parse_image(name: str) -> EcrImage | None:
    """Split an image's name into its parts; None if the image is not in ECR."""
    found = _ECR.fullmatch(name)
    if found is None:
        return None
    reference = found["digest"] or found["tag"] or "latest"
    return EcrImage(name, found["account"], found["region"], found["repository"], reference)


def find_image(aws: Aws, image: EcrImage) -> FoundImage | None:
    """Ask ECR for an image; None if the image or its repository does not exist.

    Raises:
        ClientError: AWS refused the request.
    """
    by = {"imageDigest" if image.reference.startswith("sha256:") else "imageTag": image.reference}
    ecr: Any = aws.session.client("ecr", region_name=image.region, config=aws.config)
    try:
        found = ecr.describe_images(registryId=image.account, repositoryName=image.repository, imageIds=[by])
    except ClientError as error:
        if error_code(error) in _MISSING:
            return None
        raise
    (detail,) = found["imageDetails"]
    return FoundImage(
        detail["imageDigest"], detail.get("imageManifestMediaType", ""), detail.get("imageSizeInBytes", 0)
    )


def check_image(aws: Aws, name: str, media_types: Container[str]) -> FoundImage | None:
    """Check that an image exists and that its manifest has one of the accepted media types.

    Returns:
        The image in ECR; None if it is in another registry, which is not asked.

    Raises:
        RequestError: the image does not exist, or its manifest has another type.
        ClientError: AWS refused the request.
    """
    image = parse_image(name)
    if image is None:
        return None
    found = find_image(aws, image)
    if found is None:
        raise RequestError(f"The image {name} does not exist in ECR; nothing was started. {BUILD_REMEDY}")
    if found.media_type not in media_types:
        raise RequestError(
            f"The manifest of {name} has the type {found.media_type or 'unknown'}, which AWS refuses here; nothing was "
            f"started. {BUILD_REMEDY}"
        )
    return found
