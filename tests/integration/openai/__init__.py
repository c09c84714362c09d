"""Servers that speak OpenAI's API, real ones."""
