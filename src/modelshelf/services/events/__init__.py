"""Telling listeners what changes."""
