"""The `hearth` command, whose turns in S3 expire soon."""

from flows.cli.main import main
from tasks.storage import s3_lock as s3_turn

if __name__ == "__main__":
    s3_turn.SECONDS = 2.0
    main()
