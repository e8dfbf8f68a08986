"""Reads what engines record on disk into one frozen catalog. One module a concept, named as the engine names it."""
