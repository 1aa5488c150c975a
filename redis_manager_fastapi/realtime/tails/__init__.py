"""Following streams without a group, from any entry on, whatever happens to the server."""
