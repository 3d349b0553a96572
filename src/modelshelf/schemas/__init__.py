"""The library as JSON: each object once, for `--json` and for HTTP."""
