#!/bin/sh
# Build an image that AWS accepts, and push it: push_image.sh REPOSITORY:TAG [OPTION OF docker buildx build ...] CONTEXT
# For x86-64, which EC2's GPU machines, SageMaker's and Fargate are; one manifest of Docker's media type and no attestations:
# SageMaker refuses OCI's, and an index counts as three images where ECR keeps only a few.
# It needs Docker with buildx, and the AWS CLI if the repository is in ECR.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: $0 REPOSITORY:TAG [OPTION OF docker buildx build ...] CONTEXT" >&2
    exit 2
fi
image=$1
shift
registry=${image%%/*}
case $registry in
*.dkr.ecr.*)
    region=$(echo "$registry" | cut -d. -f4)
    aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
    ;;
esac
exec docker buildx build --platform linux/amd64 --provenance=false --sbom=false \
    --output "type=image,name=$image,oci-mediatypes=false,push=true" "$@"
