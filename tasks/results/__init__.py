"""Stored results: manifests, pages and reports."""
