"""What a run shows: console, tables."""
