"""A record read again: replay, verification, and why there was no alert.

The worker runs without this package, and nothing in it changes a record.
"""
