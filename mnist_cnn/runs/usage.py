"""What `python -m mnist_cnn.runs --help` prints, in a file that imports next to nothing."""

USAGE = """\
The runs below a folder (runs, unless another is named), newest first.

  python -m mnist_cnn.runs                                   all of them
  python -m mnist_cnn.runs model=gap 'val/acc>99.4%'         by any value
  python -m mnist_cnn.runs sort=val/acc columns=optimizer.lr best first
  python -m mnist_cnn.runs show runs/gap/TIME                all about one run
  python -m mnist_cnn.runs rank                              by mean over seeds
  python -m mnist_cnn.runs diff runs/gap/TIME runs/gap/TIME2 what differs
  python -m mnist_cnn.runs clean                             what failed; asks

Tests: key=value, !=, <, <=, >, >=, with any key of config.yaml, metrics.json or
  status, age, size, epochs, seed; age<2d, size>10MB, status=fail*; status is
  completed, running, killed, interrupted, failed, diverged, pruned, unreadable
sort=KEY        best accuracy first, all else lowest first; sort=-KEY turned
columns=A,B     more columns
top=N           only so many (100)
format=json     instead of a table
clean what=     failed (default): runs without a complete epoch, or diverged;
                checkpoints: all but the tested weights of completed runs;
                runs: whole runs, with a test that says which. yes=true does
                not ask. Nothing that is being trained or that the summary of
                a sweep reads is ever touched."""
