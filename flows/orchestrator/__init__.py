"""Requests to Prefect: events, blocks, automations, pauses, ends and triggers."""
