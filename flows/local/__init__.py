"""Prefect on this machine (server, worker, `hearth up`), calls from Python, and the smoke test of a stack."""
