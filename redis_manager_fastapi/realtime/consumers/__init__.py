"""Stream consumers: members of consumer groups that survive outages, and each other's deaths."""
