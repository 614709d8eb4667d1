"""artdaqDB: the port (`port`), schema rules, documents, and one adapter a backend."""
