"""Prefect on this machine: a server, a worker, and `hearth up`."""
