"""What `--help` prints: a command's manual, its groups, and its settings with the comments of their YAML files."""
