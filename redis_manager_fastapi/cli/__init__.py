"""The command line, `redis-manager-fastapi`: finds the fault, and says what to do about it."""
