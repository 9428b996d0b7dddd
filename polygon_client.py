"""The vendor's sockets and REST turned into events; decides nothing about entries or exits.

Massive (formerly Polygon.io) sends one-second bars and option quotes over one socket per market, and answers
chains, single contracts and past seconds over REST. Whatever it sends is checked before it becomes a fact: bad
input is counted and sampled in the log, never raised, and never costs its neighbours in the same frame or page.

Times are µs of UTC unless a name says otherwise. Timeouts of network steps are real seconds; everything else
that waits (reconnects, polls, silence) goes by the clock that is passed in.
"""
