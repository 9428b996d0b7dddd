"""The book: one row a session and one row a trade, in ``DATA_DIR/book.sqlite``, kept when the records are gone.

It is an extract. The records prove what happened; the book only counts it, and ``diagnose.py days --rebuild`` makes it
again from the records that are left. Nothing that decides reads it.
"""
