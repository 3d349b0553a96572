"""The door to engines, on a real port, before an engine that does as the test says."""
