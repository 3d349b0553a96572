"""What changes, told to whoever listens."""
