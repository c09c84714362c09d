#!/bin/bash
# prefetch.sh SECONDS PATH...: read large files in many parts at once: reading fills a disk created from a snapshot.
# shellcheck disable=SC2016
set -uo pipefail
limit=$1
shift
find "$@" -type f -size +1M -printf '%s %p\n' |
  while read -r size path; do
    for ((at = 0; at << 20 < size; at += 64)); do printf '%s\0' "$at" "$path"; done
  done |
  timeout "$limit" xargs -0 -r -n 2 -P 16 sh -c 'dd if="$1" of=/dev/null bs=1M count=64 skip="$0" status=none'
