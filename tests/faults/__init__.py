"""Every fault of a standalone server, injected into real ones."""
