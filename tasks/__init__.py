"""The I/O of each stage: read, call the core, write, show in the UI, retry."""
