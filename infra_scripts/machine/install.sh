#!/bin/sh
# cloud-init runs this at each boot as `bootcmd`, in its first stage with a network: write the machine's files, and
# start its units. The arguments are the units, then the permissions, path and content of each file.
# systemd starts the units of a baked image and of a stopped machine, even if cloud-init fails.
units=$1
shift
while [ $# -ge 3 ]; do
  # On a full disk the old file is kept.
  mkdir -p "$(dirname "$2")"
  if printf %s "$3" >"$2.new" && chmod "$1" "$2.new"; then mv "$2.new" "$2"; else rm -f "$2.new"; fi
  shift 3
done
# Files of images that were baked by earlier versions, which would start the same units again.
rm -f /var/lib/cloud/scripts/per-boot/hearth /etc/systemd/system/hearth-lifetime.service
# Waiting here would deadlock: systemd continues the boot only after this script.
# shellcheck disable=SC2086 # a list of names
systemctl enable $units
systemctl restart --no-block hearth-lifetime.timer hearth-watchdog.service
# shellcheck disable=SC2086
systemctl start --no-block $units
