"""Several views of each image, over which a net's answers may be averaged when it is asked."""

import torch.nn.functional as F
from torch import Tensor

STEPS = (0, -1, 1)  # pixels


def shifted_views(images: Tensor) -> list[Tensor]:
    """Nine tensors of the same shape: the images as they are, then moved by up to a pixel each way, 0 moved in.

    Args:
        images: (..., height, width)
    """
    height, width = images.shape[-2:]
    wider = F.pad(images, (1, 1, 1, 1))
    return [
        wider[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width] for down in STEPS for right in STEPS
    ]
