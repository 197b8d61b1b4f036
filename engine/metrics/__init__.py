"""Published metrics as pure functions."""
