"""Gives up the right to write: from then on the kernel refuses this process every change of a file."""
