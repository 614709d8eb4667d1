"""Pure rules: the run state machine, lanes and backoff, run-number sets, the error tree. No I/O, no asyncio."""
