"""Ollama on SageMaker: the container, and the values of its stack."""
