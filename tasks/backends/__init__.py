"""Where a model runs: one protocol, a module or folder for each, and a registry that finds them by name."""
