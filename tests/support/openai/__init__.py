"""Servers for tests that speak OpenAI's API."""
