"""redis-py's cluster client over a Cluster's nodes."""
