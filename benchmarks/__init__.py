"""How fast the client is, next to its peers, in one interleaved run: `scripts/bench`."""
