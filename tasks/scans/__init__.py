"""Print on the images of pages: which way its lines run, how far they are from level, and what can be read of it."""
