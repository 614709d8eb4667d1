"""A run's way through the stages: importer, migrator, first phase, gate, failure policy, operators' actions."""
