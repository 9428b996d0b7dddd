"""The live worker: session after session, one session at work, and what runs beside the sessions."""
