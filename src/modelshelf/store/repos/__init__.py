"""Repositories as huggingface_hub lays them out: read, laid out, verified, deleted."""
