"""The rules of models, tiers and plans: pure, without disk, clock or third party."""
