"""Run records: reading, completeness, conversion to FHiCL; the blob: packing and validation."""
