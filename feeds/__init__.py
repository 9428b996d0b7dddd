"""What any vendor's stream needs. Knows the words (events, config, utils) and nothing of one vendor's wire."""
