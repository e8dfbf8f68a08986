"""A whole report on hosts with containerd: everything adds up to the disk, and what could be freed is what would be."""
