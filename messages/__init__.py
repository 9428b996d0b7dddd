"""Alerts before they are sent, and the texts of pushes that belong to no decision. Pure."""
