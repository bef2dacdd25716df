"""Puts PyTorch's large blocks on huge pages; for a program to ask for before it makes its first tensor.

PyTorch reads the variable once, and importing torchmetrics already makes a tensor. Blocks of 2 MiB and more then lie on
huge pages, where Linux has them, and wide nets, whose blocks tore the heap that `keep_memory` keeps, no longer grow by
gigabytes in an epoch.
"""

import os

VARIABLE = "THP_MEM_ALLOC_ENABLE"


def ask_for() -> None:
    os.environ.setdefault(VARIABLE, "1")


def asked_for() -> bool:
    return os.environ.get(VARIABLE) == "1"
