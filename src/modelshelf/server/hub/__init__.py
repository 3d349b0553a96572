"""The Hub's protocol below /hf."""
