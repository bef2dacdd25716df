"""Is B better than A? Runs, their seeds and their figures, and a test that says so or says that it cannot."""
