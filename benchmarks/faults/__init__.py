"""The faults of `docs/faults.md`, measured row by row: ours beside plain redis-py and the SDK."""
