"""The faults, a module for each class."""
