#!/bin/sh
# Build the image of the ECS service and push it: build.sh REPOSITORY:TAG MODEL OLLAMA_VERSION
# OLLAMA_DIGEST=sha256:... and MODEL_DIGEST=... in the environment refuse any other image of Ollama, or model.
# `hearth infra up ecs` prints the command. It needs Docker and the AWS CLI, room for twice the model, and no GPU.
set -eu

if [ $# -ne 3 ]; then
    echo "usage: $0 REPOSITORY:TAG MODEL OLLAMA_VERSION" >&2
    exit 2
fi
image=$1
registry=${image%%/*}
region=$(echo "$registry" | cut -d. -f4)

# For x86-64, which GPU machines of EC2 and Fargate are, also where it is built on another.
docker build --platform linux/amd64 --build-arg "MODEL=$2" --build-arg "OLLAMA_VERSION=$3" \
    --build-arg "OLLAMA_DIGEST=${OLLAMA_DIGEST:-}" --build-arg "MODEL_DIGEST=${MODEL_DIGEST:-}" \
    --file "$(dirname "$0")/Dockerfile" --tag "$image" "$(dirname "$0")/.."
aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
docker push "$image"
