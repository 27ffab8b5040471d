"""From what is typed to a command: arguments, `--help`, completion, the console. Used by commands alone."""
