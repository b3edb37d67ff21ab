"""The framework of the command line: from an argument list to a command, its settings and its exit code."""
