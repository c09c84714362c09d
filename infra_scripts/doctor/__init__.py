"""The checks of `hearth infra doctor` before a deployment: one module for each kind of check."""
