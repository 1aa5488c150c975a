"""From a client's command to its reply, by the outage contract."""
