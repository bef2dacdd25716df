"""A run on disk: its directory, its record, its history, its checkpoints, and how it goes on."""
