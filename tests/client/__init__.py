"""The client: redis-py's commands over shared and dedicated connections."""
