"""The pictures of a trade and of a day.

`gather` keeps what they show while a session goes on, `facts` is what one picture shows; both are pure. `process` has a
picture drawn in a process of its own, which is `python -m pictures`: only there are `draw` and `canvas` loaded, and with
them Pillow.
"""
