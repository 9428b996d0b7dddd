"""The session's record on disk, and the lease on its folder. It keeps what it is given and decides nothing.

A record is a text file of lines. A header stands at every start; then each fact with its time and arrival number,
and the decisions it caused. Every line ends with a CRC-32 of its text, seeded with the line before's, so a changed,
missing or moved line is found. It is the state that a restart folds, the tape that a replay reads, and the proof of
every alert.
"""
