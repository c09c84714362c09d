"""The `hearth` command, whose locks in S3 expire soon."""

from flows.cli.main import main
from tasks.storage import s3_lock

if __name__ == "__main__":
    s3_lock.EXPIRY_SECONDS = 2.0
    main()
