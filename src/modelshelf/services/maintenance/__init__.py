"""Upkeep: verify, repair, gc, dedupe, reconcile and the doctor."""
