"""Every verb in every bad situation works, or says what is wrong."""
