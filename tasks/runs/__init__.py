"""One run: prepared, metered, recorded."""
