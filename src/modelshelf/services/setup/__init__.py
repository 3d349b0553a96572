"""A library is set up, and says what is in force."""
