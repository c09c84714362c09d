"""The upload trigger: a Lambda function that has PDFs in S3 read, its queue, and the stack around them."""
