#!/bin/bash
# Create a directory on the machine's NVMe instance store, which is empty after each start: instance-store.sh LINK
# LINK points to it, or to the root disk if the machine has no instance store.
set -Eeuo pipefail
link=$1
at=/opt/hearth/nvme
if mountpoint -q /opt/dlami/nvme; then
  at=/opt/dlami/nvme # the deep-learning AMI mounts it itself
elif ! mountpoint -q "$at"; then
  device=$(find /dev/disk/by-id -name 'nvme-Amazon_EC2_NVMe_Instance_Storage_*' ! -name '*-part*' | sort | head -n 1 || true)
  mkdir -p "$at"
  if [ -n "$device" ]; then
    mkfs.ext4 -q -F -E nodiscard "$device"
    mount -o noatime "$device" "$at"
  else
    echo "no instance store: the model is stored on the root disk"
  fi
fi
mkdir -p "$at/models"
chown ollama: "$at/models"
ln -sfn "$at/models" "$link"
