"""Many callers on one bad connection: every reply has to find its own."""
