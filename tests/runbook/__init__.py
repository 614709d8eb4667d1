"""One test a heading of the troubleshooting guide: docs/runbook-coverage.md."""
