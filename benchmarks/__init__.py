"""Measured side by side against the physical limit, in one run."""
