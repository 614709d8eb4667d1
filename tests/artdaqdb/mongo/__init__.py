"""artdaqDB in MongoDB."""
