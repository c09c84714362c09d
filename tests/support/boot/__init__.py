"""Machines that boot for real: a Debian root, systemd in a container, and a small cloud around it."""
