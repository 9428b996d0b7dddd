"""What a phone is told: an alert before it is sent, and the texts that belong to no decision. Pure."""
