"""What the command table says, held against a running server."""
