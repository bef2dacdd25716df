"""Imported before PyTorch, which reads this once, at its first tensor, and torchmetrics makes one when imported.

Blocks of 2 MiB and more then lie on huge pages, where Linux has them. The wide nets, whose blocks tore the heap, no
longer grow by gigabytes in an epoch (`speed.keep_memory`).
"""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
