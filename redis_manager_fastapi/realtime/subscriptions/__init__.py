"""Channels that are heard for as long as somebody listens, whatever becomes of the server."""
