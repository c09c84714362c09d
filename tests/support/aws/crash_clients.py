"""Has AWS's clients read what they read from disk, for processes that are forked from one that imported this."""

from tasks.aws import client as aws

for service in ("cloudformation", "dynamodb", "ec2", "ssm"):
    aws.shared_session(None).client(service, region_name="us-east-1")
