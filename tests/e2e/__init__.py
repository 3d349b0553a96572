"""The whole product with the real model."""
