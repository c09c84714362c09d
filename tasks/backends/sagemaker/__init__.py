"""Ollama behind a SageMaker endpoint: its requests carried there and its answers back, awake when they are needed."""
