"""How fast it is, beside what one would pick instead: `python -m benchmarks`."""
