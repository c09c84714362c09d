"""What all the others stand on: errors, jobs, events and paths."""
