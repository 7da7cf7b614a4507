"""What is done with every report: logs, curves, checkpoints, the table in the terminal, facts."""
