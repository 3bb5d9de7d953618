"""The command line: one file a command group. Imports what a command needs, when it runs."""
