"""Many runs by one call: planned, run side by side, shown, summed up."""
