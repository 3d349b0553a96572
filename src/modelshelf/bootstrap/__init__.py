"""THE composition root: settings in, a library out. Nobody else constructs adapters."""
