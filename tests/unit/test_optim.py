"""Schedules against the values that the documents print."""

import copy
import math

import pytest
import torch

from mnist_cnn.optim import KerasAdam, Schedule, cosine_with_warmup, exponential, inverse_time, one_cycle, spans_run


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
