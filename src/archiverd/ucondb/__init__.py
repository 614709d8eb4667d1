"""UconDB: the port (`port`), digest login, the HTTP client, and the procedure that stores exactly once."""
