"""The session's record on disk, and the lease on its folder. It stores what it is given and decides nothing.

A record is a text file of lines. Each start of the program writes a header, then a line for each fact: its time, its
arrival number, the fact, and the decisions it caused. Every line ends with a CRC-32 of its text, seeded with the previous
line's, so a changed, missing or moved line is detected. A restart restores its state from the record, a replay reads its
facts, and it proves every alert.
"""
