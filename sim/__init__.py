"""The loopback world: a simulated market and the vendors' servers that speak for it, on 127.0.0.1 only.

Nothing that decides imports this package; the worker runs without it.
"""
