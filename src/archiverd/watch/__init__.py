"""Which runs there are, which have ended, which ended late."""
