"""What a run is told: composed from conf/ and the command line, held against signatures, built into objects."""
