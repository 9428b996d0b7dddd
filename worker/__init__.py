"""What runs beside the sessions of the live worker."""
