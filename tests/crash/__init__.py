"""Processes that die at every instant, and the state that they leave."""
