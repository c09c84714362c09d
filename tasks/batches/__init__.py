"""Many documents: which are new, and who reads which."""
