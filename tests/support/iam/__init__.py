"""IAM as it decides: policies asked for permissions."""
