"""Serving models: the pool, engines and what the door does with them."""
