"""Servers that read: warm-up, the pool of a run, their latency, and how many pages are let in."""
