"""The built-in engine for artdaqDB's FileSystemDB: the library's files, without the library."""
