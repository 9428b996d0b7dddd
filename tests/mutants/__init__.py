"""Deliberate faults in the worker, one at a time: ``python -m tests.mutants``. A fault that no test notices is a test that is missing."""
