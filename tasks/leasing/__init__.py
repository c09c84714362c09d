"""Who holds which machine, in DynamoDB."""
