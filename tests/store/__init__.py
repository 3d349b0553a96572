"""Tests of one cache on one disk, with real files."""
