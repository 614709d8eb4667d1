"""What a run record is: reading it, when it is complete, converting it to FHiCL, packing and validating the blob."""
