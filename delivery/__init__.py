"""How an alert reaches a phone: the exchange, what its answer says, and what follows from that."""
