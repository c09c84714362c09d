"""What `hearth infra` deploys, a module a stack."""
