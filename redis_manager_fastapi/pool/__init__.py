"""The pool: its states, its dedicated leases and its multiplexed connections."""
