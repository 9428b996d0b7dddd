"""The statistics of a track record, from the results of its days. Pure: numbers in, numbers out, seeded where dice are thrown."""
