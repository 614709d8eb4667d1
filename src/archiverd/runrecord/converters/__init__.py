"""Converters of text files to FHiCL, one module a grammar (run_records.md sections 1.2, 1.3 and 5); their registry."""
