"""Tests of `checks`: each file mirrors one of the package."""
