"""How the library looks as JSON: one shape each, for `--json` and for HTTP."""
