"""Text files of a run record to FHiCL, one module a grammar (run_records.md sections 1.2, 1.3 and 5)."""
