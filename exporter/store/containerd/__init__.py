"""What containerd leaves on disk: two bolt databases, read without its socket."""
