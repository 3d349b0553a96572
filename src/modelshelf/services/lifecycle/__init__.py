"""A model's life: registered, pulled, moved, promoted, updated, removed."""
