"""redis-py's command API over the pool."""
