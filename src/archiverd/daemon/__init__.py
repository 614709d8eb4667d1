"""`archiverd run`: its main function, and what it answers through the control socket."""
