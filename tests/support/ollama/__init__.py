"""Ollamas for tests: one that answers as a test says, one that counts, and a program over a real llama-server."""
