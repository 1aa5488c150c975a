"""A page on which to watch Redis, and what becomes of it, fed by the app itself."""
