"""Metrics as the systems that read them see them: real scrapes, a real meter provider."""
