"""The journal: a row per run, a bounded story of its events, and the state files operators read."""
