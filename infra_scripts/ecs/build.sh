#!/bin/sh
# Build the image of the ECS service and push it: build.sh REPOSITORY:TAG MODEL OLLAMA_VERSION
# OLLAMA_DIGEST=sha256:... and MODEL_DIGEST=... in the environment refuse any other image of Ollama, or model.
# `hearth infra up ecs` prints the command. It needs Docker and the AWS CLI, room for twice the model, and no GPU.
set -eu

if [ $# -ne 3 ]; then
    echo "usage: $0 REPOSITORY:TAG MODEL OLLAMA_VERSION" >&2
    exit 2
fi
here=$(dirname "$0")
exec sh "$here/../common/push_image.sh" "$1" --build-arg "MODEL=$2" --build-arg "OLLAMA_VERSION=$3" \
    --build-arg "OLLAMA_DIGEST=${OLLAMA_DIGEST:-}" --build-arg "MODEL_DIGEST=${MODEL_DIGEST:-}" \
    --file "$here/Dockerfile" "$here/.."
