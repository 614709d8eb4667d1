"""The daemon's life: wiring, watch, queues, lock, signals, drain."""
