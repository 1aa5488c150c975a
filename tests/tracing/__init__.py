"""Every command as a span, in what makes spans of redis-py's commands and in our own."""
