"""archiverd archives the run records of artdaq detectors: run-records directory, artdaqDB, UconDB, proven."""

__version__ = "0.1.0"
