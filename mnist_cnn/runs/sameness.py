"""Whether runs with the same settings had the same images and the same code of the user's own, by their records.

Records of earlier versions say neither, and are then taken as they always were.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from mnist_cnn.runs.record import Record

T = TypeVar("T")


def images_differ(records: Iterable[Record]) -> bool:
    """Whether a split of some of them has other images or labels than that of others."""
    return bool(_differing(map(_images, records)))


def changed_code(records: Iterable[Record]) -> list[str]:
    """Modules that changed between some of them, or while one was trained."""
    return _differing(map(_code, records))


def are_same(records: Sequence[Record]) -> bool:
    """Whether neither differs."""
    return not (images_differ(records) or changed_code(records))


def parted(runs: Sequence[T], record_of: Callable[[T], Record]) -> list[list[T]]:
    """Runs of the same settings, apart where their images or code differ."""
    records = [record_of(run) for run in runs]
    if are_same(records):
        return [list(runs)]
    parts: dict[Hashable, list[T]] = {}
    for run, record in zip(runs, records, strict=True):
        key = tuple(sorted(_images(record).items())), tuple(sorted(_code(record).items()))
        parts.setdefault(key, []).append(run)
    return list(parts.values())


def _images(record: Record) -> dict[str, Hashable]:
    """Digests by split."""
    return {**((record.protocol.images if record.protocol else None) or {})}


def _code(record: Record) -> dict[str, Hashable]:
    """By module the digests that a run has had, the last one at the end."""
    earlier = record.earlier_code or {}
    return {module: (*earlier.get(module, ()), last) for module, last in (record.own_code or {}).items()}


def _differing(all_digests: Iterable[dict[str, Hashable]]) -> list[str]:
    found: dict[str, set[Hashable]] = {}
    for digests in all_digests:
        for name, digest in digests.items():
            found.setdefault(name, set()).add(digest)
    return sorted(name for name, each in found.items() if len(each) > 1)
