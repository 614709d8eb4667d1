"""Puts the parts together: wiring, operations, export, dry run."""
