"""The nodes of a Redis Cluster, each with a supervised pool, and the map of their slots."""
