"""Searches for good values with Optuna: a study that resumes and that processes can share."""

if __name__ == "__main__":  # before the imports, which take seconds, and make tensors
    from mnist_cnn.signals import leave_at_once
    from mnist_cnn.speed import huge_pages

    leave_at_once()
    huge_pages.ask_for()

    from mnist_cnn.cli import answer_at_once
    from mnist_cnn.search.usage import USAGE

    answer_at_once("search", USAGE)

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from mnist_cnn import cli
from mnist_cnn.config.build import build_model
from mnist_cnn.config.command_line import search_overrides
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.help import help_text
from mnist_cnn.config.metrics import OURS
from mnist_cnn.config.python_values import as_override, quoted
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.runs.directory import Run
from mnist_cnn.search.finals import run_finals
from mnist_cnn.search.settings import KEPT, again, agree, check_training, find_plan, leaves, read_settings
from mnist_cnn.search.usage import USAGE
from mnist_cnn.signals import stopping
from mnist_cnn.sweep.jobs import GO_ON, POLL_SECONDS, Finished, Job, run_side_by_side, start_or_continue
from mnist_cnn.sweep.multirun import jobs_at_once
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.progress import SweepDisplay
from mnist_cnn.sweep.summary import write_summary
from mnist_cnn.train import train

DRAWS = 1000


def search(cfg: DictConfig, overrides: list[str]) -> int:
    """Runs trials until the study has `cfg.trials`; returns 0, or 1 if some failed.

    Raises:
        ConfigError: a setting, a space or a training configuration that cannot work.
    """
    from mnist_cnn.search.storage import require_reachable, storage_url, told  # Optuna need not be installed
    from mnist_cnn.search.trials import Trials, distribution, ends

    directory, plan = find_plan(cfg, overrides)
    overrides = plan.arguments
    distributions = {key: distribution(key, leaf) for key, leaf in leaves(plan.space or {})}
    # Values are chosen by validation: no trial needs the test images, unless the call says so.
    asked = overrides if any(text.startswith("test=") for text in overrides) else ["test=never", *overrides]
    base = check_training(asked, {key: ends(found) for key, found in distributions.items()})
    followed = {key: base.callbacks.checkpoint[key] for key in ("monitor", "mode")}
    ranked_by = {} if followed["monitor"] in OURS else followed
    require_reachable(storage_url(plan.storage, directory))
    directory.mkdir(parents=True, exist_ok=True)
    plan = agree(directory, plan)
    cfg.update({key: plan.settings[key] for key in KEPT if key in plan.settings})  # of whoever began it
    found = Trials(directory, cfg.sampler, cfg.sampler_seed, cfg.startup_trials, plan.storage, plan.study)
    at_once = jobs_at_once(base, cfg.trials, cfg.jobs)
    enough = f", more than trials={cfg.trials}: none begins" if len(found) > cfg.trials else f" of {cfg.trials} trials"
    print(f"search: {len(found)}{enough}, {at_once} at once, in {directory}", flush=True)

    draws: list[int] = []  # sizes of too large nets in a row

    def with_values(values: dict[str, Any]) -> list[str]:
        return [*asked, *(f"++{as_override(key, value)}" for key, value in values.items()), "figures=false"]

    def jobs() -> Iterator[Job]:
        for number, values in found.to_run(cfg.trials, distributions):
            chosen = with_values(values)
            if cfg.budget is not None and (size := _size(chosen)) > cfg.budget:
                found.reject(number, size)
                draws.append(size)
                if len(draws) >= DRAWS:
                    raise RunError(
                        f"budget={cfg.budget}: none of {DRAWS} draws is as small, the smallest has {min(draws)}"
                    )
                continue
            draws.clear()
            if cfg.prune:
                pruning = {"_target_": "'mnist_cnn.search.pruning.PruneTrial'", "storage": quoted(found.url),
                           "study": quoted(found.name), "trial_id": found.trial_id(number),
                           "startup_trials": cfg.startup_trials, "pruner": cfg.pruner, **ranked_by}  # fmt: skip
                chosen += [f"++callbacks.pruning.{key}={value}" for key, value in pruning.items()]
            run, log_file = Run(directory / str(number)), directory / f"{number}.log"
            composed = compose_run(chosen).cfg
            own = [*overrides, *(as_override(key, value) for key, value in values.items())]
            about = SweepJob(number, own, chosen, composed.trainer.max_epochs, composed.seed)
            yield start_or_continue(composed, run, chosen, log_file, about)

    def rounds() -> Iterator[Finished]:
        """Again while there are trials of processes that were killed meanwhile; finals wait for those of all."""
        yield from run_side_by_side(jobs(), train, at_once, display.tick, display.started)
        if cfg.finalists and found.others_run():
            print("finals: waiting for the trials of other processes", flush=True)
        while found.left_behind() or (cfg.finalists and found.others_run()):
            time.sleep(POLL_SECONDS)  # for the end of their runs
            yield from run_side_by_side(jobs(), train, at_once, display.tick, display.started)

    failed = 0
    go_on = GO_ON.format(again(directory, plan, cfg))
    display = SweepDisplay(Sweep.load(directory), at_once, max(cfg.trials, len(found)))
    live = display.live or contextlib.nullcontext()
    with told(found.url), found.owned(), stopping(lambda: go_on), live:
        for ended in rounds():
            failed += found.tell(ended.job.about.number, ended.killed)
            display.ended(ended.job.about, ended.error)
    print(write_summary(Sweep.load(directory)))
    if cfg.finalists:
        best = {number: with_values(values) for number, values in found.best(cfg.finalists)}
        with stopping(lambda: go_on):
            failed += run_finals(directory, best, base, cfg.final_seeds, at_once)
    return 1 if failed else 0


def _size(overrides: list[str]) -> int:
    """Of the net that a draw makes; 0 where it makes none, and its run will say why."""
    try:
        return trained_parameters(compose_run(overrides).cfg)
    except ConfigError:
        return 0


def trained_parameters(cfg: DictConfig) -> int:
    """Of the net of a configuration."""
    return sum(weights.numel() for weights in build_model(cfg).parameters() if weights.requires_grad)


def main() -> None:
    with cli.user_errors(trains=True):
        given = cli.arguments(help_text("search", USAGE))
        sys.exit(search(*read_settings(search_overrides(given))))


if __name__ == "__main__":
    main()
