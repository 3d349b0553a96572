"""The bytes of files: partial, copied, linked, shared, set aside."""
