"""The session in progress, from its record: in the terminal and as a page. The worker is not touched."""
