"""Is B better than A: `python -m mnist_cnn.compare A B`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import usage_at_once
    from mnist_cnn.compare.usage import USAGE

    usage_at_once(USAGE)

import json
from typing import Literal

from mnist_cnn import cli
from mnist_cnn.compare.comparison import settings_table
from mnist_cnn.compare.judge import compare_runs, compare_settings
from mnist_cnn.compare.usage import USAGE
from mnist_cnn.errors import ConfigError


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
