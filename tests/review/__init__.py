"""Tests of `review`: each file mirrors one of the package."""
