"""Files on disk or in S3, and locks between processes."""
