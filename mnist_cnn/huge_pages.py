"""Puts PyTorch's large blocks on huge pages; to be imported before anything that makes a tensor.

PyTorch reads the variable once, at its first tensor, and importing torchmetrics already makes one. Blocks
of 2 MiB and more then lie on huge pages, where Linux has them, and wide nets, whose blocks tore the heap that
`speed.keep_memory` keeps, no longer grow by gigabytes in an epoch.
"""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
