"""artdaqDB in MongoDB (artdaqdb_format.md section B)."""
