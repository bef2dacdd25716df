"""Schedules against the values that the documents print, optimizers against their sources."""

import copy
import functools
import math

import pytest
import torch
from torch import nn

from mnist_cnn.optim import (
    InParts,
    KerasAdam,
    Muon,
    Schedule,
    can_fuse,
    cosine_with_warmup,
    exponential,
    inverse_time,
    one_cycle,
    spans_run,
)


def rates(make, lr: float, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_inverse_time_as_document_004_logs_it():
    printed = {0: 0.003, 1: 0.0022744503, 2: 0.0018315018, 6: 0.0010295127, 11: 0.000665336, 19: 0.000424869}
    found = rates(lambda o: inverse_time(o, 0.319), 0.003, 20)
    assert {epoch: found[epoch] for epoch in printed} == pytest.approx(printed, abs=1e-15)


def test_inverse_time_as_document_000_logs_it():
    printed = {1: 0.006595906, 2: 0.0053113553, 18: 0.0012904183, 19: 0.0012321201}
    found = rates(lambda o: inverse_time(o, 0.319), 0.0087, 20)
    assert {epoch: found[epoch] for epoch in printed} == pytest.approx(printed, abs=1e-15)


def test_inverse_time_starts_again_where_a_document_ran_its_fit_again():
    found = rates(lambda o: inverse_time(o, 0.319, restart_every=20), 0.0085, 40)
    assert found[20:] == found[:20]
    assert found[20] == 0.0085
    assert found[39] == pytest.approx(0.0085 / (1 + 0.319 * 19), abs=1e-10)


def test_exponential_is_keras_exponential_decay():
    found = rates(lambda o: exponential(o, rate=0.9, decay_steps=10), 0.5, 21)
    assert found[10] == pytest.approx(0.5 * 0.9)
    assert found[5] == pytest.approx(0.5 * 0.9**0.5)


def test_one_cycle_rises_to_the_optimizers_rate_and_falls_to_nothing():
    found = rates(lambda o: one_cycle(o, 100, warmup_fraction=0.3, start_factor=0.04), 0.1, 100)
    assert found[0] == pytest.approx(0.004)
    assert max(found) == pytest.approx(0.1)
    assert found.index(max(found)) == 29
    assert found[-1] < 1e-6


def test_cosine_warms_up_and_ends_at_its_final_factor():
    found = rates(lambda o: cosine_with_warmup(o, 101, warmup_fraction=0.1, final_factor=0.1), 1.0, 102)
    assert found[0] == pytest.approx(1 / 11)
    assert found[10] == pytest.approx(1.0)
    assert found[101] == pytest.approx(0.1)


def test_total_steps_are_handed_only_to_schedules_that_take_them():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    assert spans_run(cosine_with_warmup)
    assert not spans_run(inverse_time)

    def whole_run(optimizer: torch.optim.Optimizer, total_steps: int) -> tuple[str, int]:
        return ("whole", total_steps)

    assert Schedule(whole_run, "step").build(optimizer, 7)["scheduler"] == ("whole", 7)


GRADIENTS = [1e-7, -3e-7, 2e-6, 5e-7]  # where eps matters


def test_keras_adam_is_the_update_in_keras_own_code():
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = KerasAdam([weight], lr=0.01, eps=1e-7)
    p = m = v = 0.0
    for t, g in enumerate(GRADIENTS, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p -= 0.01 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (math.sqrt(v) + 1e-7)
        weight.grad = torch.full_like(weight, g)
        optimizer.step()
        assert weight.item() == pytest.approx(p, rel=1e-6)
        assert optimizer.param_groups[0]["eps"] == 1e-7


def test_keras_adam_goes_on_from_a_checkpoint_as_if_it_had_not_stopped():
    def steps(weight: torch.Tensor, optimizer: torch.optim.Optimizer, gradients: list[float]) -> None:
        for g in gradients:
            weight.grad = torch.full_like(weight, g)
            optimizer.step()

    through = torch.zeros(1, requires_grad=True)
    one = KerasAdam([through], lr=0.01, eps=1e-7)
    steps(through, one, GRADIENTS[:2])
    stopped = through.detach().clone().requires_grad_()
    two = KerasAdam([stopped], lr=0.01, eps=1e-7)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    steps(through, one, GRADIENTS[2:])
    steps(stopped, two, GRADIENTS[2:])
    assert torch.equal(through, stopped)


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3)).to(
        memory_format=torch.channels_last
    )


MUON = {
    "lr": 0.02,
    "adamw_lr": 0.003,
    "weight_decay": 0.1,
    "momentum": 0.95,
    "ns_steps": 5,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
}


def take_steps(net: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        net(torch.rand(5, 1, 8, 8)).square().mean().backward()
        optimizer.step()


def test_muon_is_pytorchs_for_matrices_and_adamw_for_the_rest():
    mine, theirs = small_net(), small_net()
    take_steps(mine, Muon(mine.parameters(), **MUON), range(3))
    kernel = theirs[0].weight.detach().clone().flatten(1).requires_grad_()  # a convolution as PyTorch's Muon takes it
    matrices = [kernel, theirs[4].weight]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1)
    adamw = torch.optim.AdamW([p for p in theirs.parameters() if p.ndim < 2], lr=0.003, weight_decay=0.1)
    for seed in range(3):
        torch.manual_seed(seed)
        theirs.zero_grad()
        theirs(torch.rand(5, 1, 8, 8)).square().mean().backward()
        kernel.grad = theirs[0].weight.grad.flatten(1)
        muon.step()
        adamw.step()
        theirs[0].weight.data.copy_(kernel.detach().view_as(theirs[0].weight))
    for one, two in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, two, atol=2e-3)  # PyTorch iterates in bfloat16; a step is about 0.02
        assert not torch.allclose(one, torch.zeros(()))


def test_muon_goes_on_from_a_checkpoint_and_a_schedule_scales_both_rates():
    through, stopped = small_net(), small_net()
    one = Muon(through.parameters(), **MUON)
    take_steps(through, one, range(2))
    stopped.load_state_dict(through.state_dict())
    two = Muon(stopped.parameters(), **MUON)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    schedule = one_cycle(two, 10, warmup_fraction=0.3, start_factor=0.5)
    assert [group["lr"] for group in two.param_groups] == [0.01, 0.0015]
    del schedule
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    for net, optimizer in ((through, one), (stopped, two)):
        take_steps(net, optimizer, range(2, 4))
    for mine, other in zip(through.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_parts_have_options_of_their_own_and_what_is_frozen_is_left_out():
    net = small_net()
    net[4].bias.requires_grad_(False)
    make = functools.partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5)
    assert [len(g["params"]) for g in InParts(make)(net.named_parameters()).param_groups] == [5]
    groups = InParts(make, decay_norms=False, parts={"0.*": {"lr": 0.01}})(net.named_parameters()).param_groups
    found = {(g["lr"], g["weight_decay"]): [tuple(p.shape) for p in g["params"]] for g in groups}
    assert found == {
        (0.1, 0.5): [(3, 144)],
        (0.1, 0.0): [(4,), (4,)],
        (0.01, 0.5): [(4, 1, 3, 3)],
        (0.01, 0.0): [(4,)],
    }
    assert groups[0]["lr"] == 0.1  # the rate that is logged
    with pytest.raises(ValueError, match=r"parts\.4\.bias: no trained parameter"):
        InParts(make, parts={"4.bias": {"lr": 0.01}})(net.named_parameters())


def test_a_form_that_was_chosen_is_not_fused_over():
    assert can_fuse(functools.partial(torch.optim.Adam, lr=0.1))
    assert can_fuse(InParts(torch.optim.SGD))
    for options in ({"foreach": True}, {"fused": False}, {"differentiable": True}):
        assert not can_fuse(InParts(functools.partial(torch.optim.Adam, **options)))
    assert not can_fuse(torch.optim.Rprop)
