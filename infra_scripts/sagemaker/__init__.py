"""The SageMaker endpoint: its stack, and the adapter that runs in its container."""
