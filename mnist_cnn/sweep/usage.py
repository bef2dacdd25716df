"""What `python -m mnist_cnn.sweep --help` prints, in a file that imports nothing."""

USAGE = """\
Sums up a sweep, finished or not: every job, and mean and spread over seeds,
best validation accuracy first.

  python -m mnist_cnn.sweep DIRECTORY             tests of what validation chose
  python -m mnist_cnn.sweep DIRECTORY tests=all   of everything

Writes summary.csv, summary.md and summary.png into the directory."""
