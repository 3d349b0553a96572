"""Room on a tier: its limit, reservations, evictions, and the deletion of old copies."""
