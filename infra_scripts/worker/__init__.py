"""Prefect's workers: an image, and the job template of an ECS work pool."""
