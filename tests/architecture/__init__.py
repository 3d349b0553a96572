"""Rules that the whole code base keeps."""
