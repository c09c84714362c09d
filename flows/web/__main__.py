"""`python -m flows.web`."""

import sys

from flows.web.app import main

if __name__ == "__main__":
    sys.exit(main())
