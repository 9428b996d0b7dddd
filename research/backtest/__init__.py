"""Sessions of the past through the live engine: what its alerts would have been, and what a hand could have got."""
