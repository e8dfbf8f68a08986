"""Measures directory trees: exactly, cheaply, and safely against those who write in them."""
