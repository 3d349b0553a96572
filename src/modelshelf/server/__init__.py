"""The HTTP face: the API and the hub protocol over the same services."""
