"""Servers that read: their warm-up, the pool of a run, their latency, and the admission of pages."""
