"""What IAM is asked for a stack: its resources by name and ARN, and what whoever deploys it must be allowed."""
