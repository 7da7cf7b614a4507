"""macrotune as one installs it: the command `macrotune`."""
