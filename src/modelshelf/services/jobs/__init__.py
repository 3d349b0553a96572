"""Long work as jobs: who runs them, how far they are."""
