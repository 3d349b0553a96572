"""Long work as jobs: who runs them, and their progress."""
