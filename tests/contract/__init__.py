"""Suites that a real part and its stand-in both pass."""
