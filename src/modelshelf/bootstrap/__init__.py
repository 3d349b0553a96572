"""THE composition root: settings in, a library out. Nothing else constructs adapters."""
