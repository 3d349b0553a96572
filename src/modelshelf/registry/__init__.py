"""What is registered, reserved and running, in SQLite or PostgreSQL."""
