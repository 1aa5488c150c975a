"""The same calls on our client and on plain redis-py give the same results."""
