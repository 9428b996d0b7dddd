"""What a phone is told: the alert, and the texts that are no decision's."""
