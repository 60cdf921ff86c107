"""`python -m keyapi_async.cli` is the command `keyapi`."""

import sys

from keyapi_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
