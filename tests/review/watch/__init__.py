"""Tests of review/watch."""
