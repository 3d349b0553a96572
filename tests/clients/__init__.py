"""Real clients with the hub face and the tiers, each in its own environment: `make test-clients`."""
