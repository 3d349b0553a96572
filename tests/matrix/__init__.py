"""Every verb in every bad situation: it works, or it says what is wrong."""
