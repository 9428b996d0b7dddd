"""What the owner was promised, each invariant as functions that look for its violations in the books of a story."""
