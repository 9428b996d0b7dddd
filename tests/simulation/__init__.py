"""The whole worker in one process on virtual time, under faults that one integer draws, judged by what its owner was promised."""
