"""What `python -m mnist_cnn.search --help` prints, in a file that imports nothing."""

USAGE = """\
Searches for the values with the best validation accuracy, by Optuna.

  python -m mnist_cnn.search model=gap trials=30       over conf/space/
  python -m mnist_cnn.search model=bn_dropout trials=30 \\
      'space.model.dropout={low: 0.0, high: 0.3}'      one more value
  python -m mnist_cnn.search directory=runs/search/TIME trials=60
                                                       go on, also beside it
  python -m mnist_cnn.search model=small space=small_nets budget=3000 \\
      pruner=halving trials=100 finalists=4            nets, then the best
                                                       four with six seeds
  python -m mnist_cnn.sweep runs/search/TIME           the summary again
  optuna-dashboard sqlite:///runs/search/TIME/study.db in a browser

It takes the values below, and all values of python -m mnist_cnn.train;
--config-dir=FOLDER adds configuration files of your own, spaces too."""
