"""What the tiers hold, looked up for clients that speak the Hub's protocol."""
