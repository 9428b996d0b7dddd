"""Sessions of the past: what is kept of each, where it comes from, and how it becomes the facts of a live session."""
