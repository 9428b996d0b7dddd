"""Fuzzing: whatever comes in, nothing raises, nothing good is lost, nothing bad comes through, and nothing takes long.

``python -m tests.fuzz`` makes cases from a seed, checks each against an oracle that knows only what the vendors' documentation
calls valid (`tests/fuzz/oracle.py`), and prints what fails, made as small as it can be.
"""
