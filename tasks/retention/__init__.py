"""What runs leave behind, and when it may be deleted."""
