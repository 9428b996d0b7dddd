"""What must be right on this machine before the worker runs."""
