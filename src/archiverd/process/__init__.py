"""The process: lock, work directory, shutdown, exit, memory, mounts, service manager."""
