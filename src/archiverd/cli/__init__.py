"""The commands: thin, each a few lines over stages and service."""
