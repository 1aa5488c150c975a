"""The one task that probes and heals."""
