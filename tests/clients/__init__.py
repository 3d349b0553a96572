"""Real clients against the hub face and the tiers, each in an environment of its own: `make test-clients`."""
