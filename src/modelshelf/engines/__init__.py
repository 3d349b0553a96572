"""Programs that answer for models: what of them is installed, how a child of ours lives and dies."""
