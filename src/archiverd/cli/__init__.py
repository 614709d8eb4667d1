"""The commands: thin, each a few lines over the operations of `archiverd.app`."""
