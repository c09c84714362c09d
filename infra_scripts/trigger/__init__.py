"""A PDF that lands in S3 is read: a Lambda function, its queue, and the task that it starts."""
