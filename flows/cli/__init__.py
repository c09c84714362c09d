"""The `hearth` command: one module a group of commands."""
