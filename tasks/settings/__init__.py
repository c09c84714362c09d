"""What can be configured, a module a section."""
