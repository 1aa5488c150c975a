"""`python -m redis_manager_fastapi`: the command line."""

import sys

from redis_manager_fastapi.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
