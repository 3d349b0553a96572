"""Hours of mixed work, and what they leave behind."""
