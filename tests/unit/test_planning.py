"""What the jobs of a sweep share is done once, and what they do not share is not taken for it."""

import gc

import pytest

from mnist_cnn.config import checks, module
from mnist_cnn.config.call import Call


@pytest.fixture
def built(monkeypatch):
    """How many nets were built to be tried."""
    count: list[object] = []
    build = checks.blank_module
    monkeypatch.setattr(checks, "blank_module", lambda *given: [count.append(given), build(*given)][1])
    return count


def test_a_recipe_is_tried_once_for_all_its_seeds_and_again_by_the_next_call(built):
    call = Call(["model=vanilla", "seed=range(1,5)", "optimizer.lr=0.1,0.2"], multirun=True)
    jobs = call.jobs()
    values = [(seed, lr) for seed in (1, 2, 3, 4) for lr in (0.1, 0.2)]
    assert [(job.cfg.seed, job.cfg.optimizer.lr) for job in jobs] == values
    assert [job.cfg.data.seed for job in jobs] == [job.cfg.seed for job in jobs]  # follows it by ${seed}
    assert len(built) == 2
    call.jobs()
    assert len(built) == 4
    assert gc.isenabled()


def test_nets_that_take_turns_are_built_once_each(monkeypatch):
    build, count = module.build_module, []
    monkeypatch.setattr(module, "build_module", lambda *given: [count.append(given), build(*given)][1])
    widths = ",".join(str(width) for width in range(4, 14))
    assert len(Call(["model=small", "seed=1,2", f"model.width={widths}"], multirun=True).jobs()) == 20
    assert len(count) == 10


def test_what_is_wrong_with_one_value_is_said_of_its_jobs_alone():
    betas = "optimizer.betas=[0.9,0.99],[0.9,2.0]"
    call = Call(["model=sequential", "seed=1,2", "optimizer=adam", betas], multirun=True)
    assert [bool(job.problems) for job in call.jobs()] == [False, True, False, True]
