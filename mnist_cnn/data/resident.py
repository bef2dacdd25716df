"""Batches of images that lie on the GPU."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from mnist_cnn.data.images import Batch, ImageSet

MOST_OF_MEMORY = 0.25  # of what is free on the GPU, for the images of one split


class ResidentLoader:
    """What a `DataLoader` of the same images and sampler hands out, without a way through the CPU.

    Args:
        images: on the device.
    """

    batch_sampler = None  # Lightning asks for it where there is a `sampler`

    def __init__(self, images: ImageSet, sampler: Sampler[int], batch_size: int) -> None:
        self.images, self.sampler, self.batch_size = images, sampler, batch_size  # Lightning tells `sampler` the epoch

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        order = torch.tensor(list(self.sampler), device=self.images.labels.device)
        for chosen in order.split(self.batch_size):
            yield self.images.images[chosen], self.images.targets[chosen]


def fits(images: ImageSet, device: torch.device) -> bool:
    """Whether the device has room for them beside a net."""
    free, _ = torch.cuda.mem_get_info(device)
    return images.images.nbytes + images.labels.nbytes <= MOST_OF_MEMORY * free
