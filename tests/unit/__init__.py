"""Tests of the pure parts, which need no disk and no network."""
