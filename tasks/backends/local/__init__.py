"""Servers on this machine, started when needed and stopped when idle."""
