"""Ollama's HTTP API: the only place that knows its wire."""
