"""Who may use the server: its API keys."""
