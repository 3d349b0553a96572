"""The library's own API."""
