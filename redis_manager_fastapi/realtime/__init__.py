"""Subscriptions, stream consumers and tails that survive an outage."""
