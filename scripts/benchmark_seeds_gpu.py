"""What a step of many seeds of one net costs on a GPU, if they were one net with groups in its convolutions.

python scripts/benchmark_seeds_gpu.py

A measurement of what that would bring, on made-up images: no training of the package does it. Each step (forward pass,
loss, backward pass, Adam) is a CUDA graph, of the net of `model=gap` and batches of 128 images per seed.
"""

import copy
import sys
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

import mnist_cnn as mc

SEEDS = (1, 8, 64)
BATCH = 128
REPEATS = 20


def together(nets: Sequence[nn.Sequential]) -> nn.Sequential:
    """One net for images (N, nets, 28, 28) with logits (N, nets * 10, 1, 1), from nets that differ in weights alone."""
    count, layers = len(nets), nn.Sequential()
    for same in zip(*nets, strict=True):
        first = same[0]
        if isinstance(first, nn.Conv2d):
            made: nn.Module = nn.Conv2d(
                first.in_channels * count, first.out_channels * count, first.kernel_size,
                padding=first.padding, groups=count, bias=first.bias is not None,
            )  # fmt: skip
        elif isinstance(first, nn.BatchNorm2d):
            made = nn.BatchNorm2d(first.num_features * count)
        elif isinstance(first, nn.Linear):
            layers.append(nn.Unflatten(1, (-1, 1, 1)))
            made = nn.Conv2d(first.in_features * count, first.out_features * count, 1, groups=count)
        else:
            made = copy.deepcopy(first)
        for name, tensor in made.state_dict().items():
            parts = [layer.state_dict()[name] for layer in same]
            tensor.copy_(torch.cat(parts).view(tensor.shape) if tensor.ndim else parts[0])
        layers.append(made)
    return layers


def check() -> None:
    """The joined net computes what its parts compute."""
    nets = [mc.create_model("gap").net for _ in range(3)]
    images = torch.rand(4, 3, 28, 28)
    joined = together(nets)(images).view(4, 3, 10)
    for i, net in enumerate(nets):
        assert torch.allclose(joined[:, i], net(images[:, i : i + 1]), atol=1e-5)


def milliseconds(gap: nn.Sequential, seeds: int, mixed: bool, channels_last: bool) -> float:
    """Of one step of all seeds."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    net = together([gap] * seeds).cuda().to(memory_format=order)
    images = torch.rand(BATCH, seeds, 28, 28, device="cuda").contiguous(memory_format=order)
    labels = torch.randint(0, 10, (BATCH, seeds), device="cuda")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True, capturable=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
            logits = net(images)
        F.cross_entropy(logits.view(-1, 10).float(), labels.flatten(), reduction="sum").div(BATCH).backward()
        optimizer.step()

    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(REPEATS):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / REPEATS


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("benchmark_seeds_gpu.py: there is no CUDA GPU")
    check()
    gap: nn.Sequential = mc.create_model("gap").net
    torch.backends.cudnn.benchmark = True
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print("| precision | memory order | " + " | ".join(f"{seeds} seeds" for seeds in SEEDS) + " |")
    print("|---|---|" + "---|" * len(SEEDS))
    for mixed in (False, True):
        for channels_last in (False, True):
            cells = [f"{milliseconds(gap, seeds, mixed, channels_last):.2f} ms" for seeds in SEEDS]
            order = "channels last" if channels_last else "channels first"
            print(f"| {'bf16' if mixed else 'float32'} | {order} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
