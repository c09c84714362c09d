"""The settings, one module per section."""
