#!/bin/bash
# cloud-init runs this at each boot, after it wrote the files of a new machine: the limits first, then all else.
systemctl daemon-reload
systemctl enable hearth-lifetime.service hearth-watchdog.service
systemctl restart hearth-lifetime.service hearth-watchdog.service
exec /opt/hearth/boot.sh
