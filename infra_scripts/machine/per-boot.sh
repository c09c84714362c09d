#!/bin/bash
# cloud-init runs this at each boot, after it wrote the files of a new machine: the limits first, then all else.
systemctl daemon-reload
systemctl enable hearth-lifetime.service hearth-watchdog.service
systemctl restart hearth-lifetime.service hearth-watchdog.service
if grep -q '^HEARTH_METRICS=yes$' /etc/hearth/machine.env; then
  systemctl start --no-block hearth-metrics.service
fi
exec /opt/hearth/boot.sh
