"""What a sweep runs over: the values of each key, and all that they make together."""

import itertools
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from mnist_cnn.config.compose import line
from mnist_cnn.errors import ConfigError

NO_VALUES = "a sweep needs values, such as 1,2,3, choice(...) or range(...)"
MOST_VALUES = 100_000  # of a key


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of every job: all combinations of what is swept, in the order of the call.

    Raises:
        ConfigError: a key without values.
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in values_of(override)]
        else:
            raise ConfigError([f"{line(override)}: {NO_VALUES}"])
        if not choices[key]:
            raise ConfigError([f"{line(override)}: no value, so no job"])
    return [list(job) for job in itertools.product(*choices.values())]


def values_of(override: Override) -> list[str]:
    """Of a sweep over one key.

    Raises:
        ConfigError: a range that is none, or more values than anybody can run.
    """
    try:
        found = list(itertools.islice(override.sweep_string_iterator(), MOST_VALUES + 1))
    except ValueError as error:  # Python's, of range(1, 3, 0)
        raise ConfigError([f"{line(override)}: {error}"]) from error
    if len(found) > MOST_VALUES:
        raise ConfigError([f"{line(override)}: more than {MOST_VALUES:,} values"])
    return found
