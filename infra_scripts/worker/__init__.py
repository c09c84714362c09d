"""Where Prefect's workers run flows: an image, and the job template of an ECS work pool."""
