"""`python -m redis_manager_fastapi`: the command line."""

import sys

from redis_manager_fastapi.cli.start import main

sys.exit(main())
