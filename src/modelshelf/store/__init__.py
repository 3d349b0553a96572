"""One stock Hugging Face cache on one disk: its paths, its bytes, its locks."""
