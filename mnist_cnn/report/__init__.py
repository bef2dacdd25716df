"""What a run shows: lines and a bar on the console, tables, plots."""
