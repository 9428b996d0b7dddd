"""The whole worker in one process on virtual time, under faults that one integer draws, judged by what its owner was promised."""

SHARED = "SIMULATION_FOLDER"
"""Names, to every process of a run of the tests, the folder of what is made once (tests/conftest.py makes and removes it)."""
