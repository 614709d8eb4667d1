"""A run's work as steps over the ports: import, migrate."""
