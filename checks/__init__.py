"""Checks everything that the worker needs, before it runs. `diagnose` is their command line."""
