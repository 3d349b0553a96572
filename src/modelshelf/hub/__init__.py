"""Talking to a Hugging Face hub: resolve, list, fetch, lay out."""
