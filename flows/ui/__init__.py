"""What Prefect's UI shows of a run: its artifacts."""
