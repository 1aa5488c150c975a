"""Reads that are answered in the process, and what keeps them true."""
