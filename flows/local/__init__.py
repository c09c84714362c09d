"""Prefect on this machine: a server, a worker, `hearth up`, and calls from Python."""
