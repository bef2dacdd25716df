"""What `python -m mnist_cnn.reproduce --help` prints, in a file that imports next to nothing."""

from pathlib import Path

import yaml

TEXT = """\
Runs the documents' experiments that are missing from the results, and writes
the page that compares them.

  python -m mnist_cnn.reproduce                            all: many hours
  python -m mnist_cnn.reproduce ablation seeds=3 jobs=2    one document
  python -m mnist_cnn.reproduce baseline                   one experiment, as
                                                           ablation/baseline
  python -m mnist_cnn.reproduce pages                      the pages alone
  python -m mnist_cnn.reproduce check                      what does not stand

  seeds=N              seeds 1 to N of each (default: 5; under holdout, and of
                       probes, 3)
  jobs=N               runs side by side (default 1)
  protocol=NAME        document or holdout (default: both, of probes document)
  run_root=FOLDER      where runs go (default runs/reproduction)
  results=FOLDER       where figures are kept (default results/reproduction)
  pages=FOLDER         where the pages go (default docs/reproduction)
  dry_run=true         only check and say what would run

Documents: {documents}
It can be stopped and started again: a finished run is skipped, a half-done one
continues. Each run has one thread. First come those that results/superseded has
from code that was not committed, then the documents' protocol, then holdout."""


def usage() -> str:
    documents = yaml.safe_load(Path(__file__).with_name("documents.yaml").read_text(encoding="utf-8"))
    return TEXT.format(documents=", ".join(documents))
