"""The digits of a picture that has several, in the order in which they are read."""

from dataclasses import dataclass

import numpy as np

from mnist_cnn.data.ink import DUST, connected, find_ink
from mnist_cnn.data.photo import Box, Pixels, Prepared, prepare_photo, to_grey
from mnist_cnn.data.scaling import rescaled

FINEST = 1024  # pixels: the longer side of what is worked on
LOWEST = 0.25  # of a usual digit's height: what is lower is a dot or a dash and no digit of its own
NEAR = 0.35  # of a usual digit's height: parts of one digit are not further apart


@dataclass(frozen=True)
class Placed:
    """A digit on a picture. Args: line, place: counted from 1."""

    line: int
    place: int
    prepared: Prepared


def digits_of(picture: Pixels) -> list[Placed]:
    """Every digit of a picture, line by line; nothing where no ink was found.

    Args:
        picture: as for `prepare_photo`.
    """
    grey = to_grey(picture)
    work, finer, coarser = rescaled(grey, FINEST)
    ink = find_ink(work)
    labels, boxes = _parts(ink.mask)
    if not boxes:
        return []
    groups = _joined(boxes)
    soft = ((ink.contrast - ink.level / 4) / (ink.level / 2) * 255).clip(0, 255).astype(np.uint8)
    found = []
    for line, members in enumerate(_lines([_around(boxes, group) for group in groups]), 1):
        for place, index in enumerate(members, 1):
            top, left, bottom, right = _around(boxes, groups[index])
            own = np.isin(labels[top:bottom, left:right], groups[index])
            margin = max(bottom - top, right - left) // 2  # a frame of paper
            alone = np.pad(soft[top:bottom, left:right] * own, margin)
            scaled = [edge * coarser // finer for edge in (top, left, bottom, right)]
            box: Box = (scaled[0], scaled[1], min(scaled[2], grey.shape[0]), min(scaled[3], grey.shape[1]))
            prepared = prepare_photo(alone)
            shown = Prepared(prepared.image, "dark" if ink.dark else "light", box, prepared.warnings)
            found.append(Placed(line, place, shown))
    return found


def _parts(mask: np.ndarray) -> tuple[np.ndarray, dict[int, Box]]:
    """Labels of connected ink, and the box of each that is neither dust nor the surroundings of the paper."""
    from scipy import ndimage  # takes a while to import

    labels, areas, along = connected(mask)
    areas[along] = 0
    kept = np.flatnonzero((areas > 0) & (areas >= DUST * areas.max()))
    slices = ndimage.find_objects(labels)
    return labels, {int(i): _box(slices[i - 1]) for i in kept}


def _box(place: tuple[slice, slice]) -> Box:
    rows, columns = place
    return rows.start, columns.start, rows.stop, columns.stop


def _joined(boxes: dict[int, Box]) -> list[list[int]]:
    """Parts of one digit together: what is low lies above, below or beside what it belongs to, and near it."""
    usual = float(np.percentile([bottom - top for top, _, bottom, _ in boxes.values()], 75))
    groups = [[part] for part, box in boxes.items() if box[2] - box[0] >= LOWEST * usual]
    whole = [_around(boxes, group) for group in groups]
    for part, box in boxes.items():
        if box[2] - box[0] < LOWEST * usual and whole:
            apart = [_distance(box, other) for other in whole]
            if min(apart) <= NEAR * usual:
                groups[int(np.argmin(apart))].append(part)
    return _stacked(boxes, groups, usual)


def _stacked(boxes: dict[int, Box], groups: list[list[int]], usual: float) -> list[list[int]]:
    """Joins what stands one above the other with hardly a gap: halves of a broken digit, a 5 and its bar."""
    merged: list[list[int]] = []
    for group in sorted(groups, key=lambda group: _around(boxes, group)[0]):
        top, left, bottom, right = _around(boxes, group)
        for other in merged:
            up, west, down, east = _around(boxes, other)
            shared = min(right, east) - max(left, west)
            lower = min(bottom - top, down - up)
            if shared > 0.5 * min(right - left, east - west) and top - down < NEAR * usual and lower < 0.6 * usual:
                other.extend(group)
                break
        else:
            merged.append(list(group))
    return merged


def _lines(boxes: list[Box]) -> list[list[int]]:
    """Indices by line: what has its middle within the height of a line's last member belongs to it."""
    lines: list[list[int]] = []
    for index in sorted(range(len(boxes)), key=lambda i: boxes[i][1]):
        top, _, bottom, _ = boxes[index]
        middle = (top + bottom) / 2
        fitting = [line for line in lines if boxes[line[-1]][0] <= middle < boxes[line[-1]][2]]
        if fitting:
            fitting[0].append(index)
        else:
            lines.append([index])
    return sorted(lines, key=lambda line: np.mean([boxes[i][0] + boxes[i][2] for i in line]))


def _around(boxes: dict[int, Box], group: list[int]) -> Box:
    tops, lefts, bottoms, rights = zip(*(boxes[part] for part in group), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _distance(one: Box, other: Box) -> float:
    """Between two boxes, 0 where they overlap."""
    down = max(one[0] - other[2], other[0] - one[2], 0)
    aside = max(one[1] - other[3], other[1] - one[3], 0)
    return float(np.hypot(down, aside))
