"""What runs left behind, and which of it may go by now."""
