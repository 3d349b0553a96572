"""Processes that die at every instant, and what the next one finds."""
