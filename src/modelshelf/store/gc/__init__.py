"""What nothing needs, and its deletion."""
