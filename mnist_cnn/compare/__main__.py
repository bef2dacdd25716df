"""Is B better than A: `python -m mnist_cnn.compare A B`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()


import json
from typing import Literal

from mnist_cnn import cli
from mnist_cnn.compare.comparison import settings_table
from mnist_cnn.compare.judge import compare_runs, compare_settings
from mnist_cnn.errors import ConfigError

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


def main() -> None:
    with cli.user_errors():
        given = cli.arguments(USAGE)
        names, options = cli.read_options(given, {"figure": str, "format": Literal["json", "table"]})
        as_json = options.get("format") == "json"
        if len(names) == 1:
            found = compare_settings(names[0], options.get("figure"))
            print(json.dumps([each.as_dict() for each in found], indent=2) if as_json else settings_table(found))
        elif len(names) == 2:
            one = compare_runs(names[0], names[1], options.get("figure"))
            print(json.dumps(one.as_dict(), indent=2) if as_json else one)
        else:
            raise ConfigError([f"{len(names)} names; needed: A and B, or one sweep (quote a pattern: 'gap_*.json')"])


if __name__ == "__main__":
    main()
