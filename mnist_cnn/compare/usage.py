"""What `python -m mnist_cnn.compare --help` prints, in a file that imports nothing."""

USAGE = """\
Is B better than A, by runs over several seeds?

  python -m mnist_cnn.compare A B                    two settings, on test/acc;
                                                     val/acc where the test
                                                     images were not read
  python -m mnist_cnn.compare A B figure=val/acc     to choose one of them
  python -m mnist_cnn.compare SWEEP                  its best setting against
                                                     every other, on val/acc

A and B: a run directory, a folder of runs, a sweep over seeds, a file such as
metrics.json, or a quoted pattern: 'results/recipes/gap_seed*.json'.

  figure=test/loss    or val/..., train/...; val/... is that of the tested
                      weights
  format=json         instead of a table

Fewer than six pairs, or six runs of each, and no winner is called."""
