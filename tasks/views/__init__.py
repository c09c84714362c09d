"""What people look at: summaries and timelines."""
