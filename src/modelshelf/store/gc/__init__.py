"""What nothing needs, and how it goes."""
