"""Turns the report into metrics, pages and tables."""
