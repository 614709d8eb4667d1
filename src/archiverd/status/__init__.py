"""What `status` shows: probe, differences, advice, report."""
