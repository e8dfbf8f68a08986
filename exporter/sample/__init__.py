"""Builds a small engine root on disk, and writers that grow it: the demo, and what the tests read."""
