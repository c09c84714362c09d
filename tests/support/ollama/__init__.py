"""Ollama servers for tests: one with scripted answers, one that counts, and a program over a real llama-server."""
