"""IAM's view of a stack: its resources by name and ARN, and the permissions that its deployer needs."""
