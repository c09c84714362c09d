"""What a person sees of a run in Prefect's UI: its artifacts."""
