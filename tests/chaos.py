"""Kills runs, fetches, sweeps and searches (kill -9) at every moment, goes on, and compares with the uninterrupted end.

    make test-chaos ARGS="200 seed=1"

Equal bit for bit must be: weights, optimizer and schedule, figures of every epoch and of the test, predictions. Nothing
may lie about, and no process may be left.
"""

import collections
import functools
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import NAMES, metrics_of, write_images
from fake_mirror import address, serve, use_mirror, write_mirror
from program import Program, start
from test_resume import assert_equal, same

from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep.plan import Sweep

EPOCHS, STEPS = 3, 3
COMMON = [
    "data=custom", "data.validation_size=80", "data.batch_size=32",
    f"data.limit_train={32 * STEPS}", "data.limit_val=40", "data.limit_test=40", f"trainer.max_epochs={EPOCHS}",
    "trainer=cpu", "figures=false",
]  # fmt: skip
CONFIGURATIONS = {
    "plain": [],
    "workers": ["data.num_workers=2", "augment=affine"],
    "ema": ["callbacks=[checkpoint,ema]"],
    "swa": ["callbacks=[checkpoint,swa]", "callbacks.swa.from_epoch=1"],
    "early stopping": ["callbacks=[checkpoint,early_stopping]", "callbacks.early_stopping.patience=1"],
    "loggers": ["logger=[csv,tensorboard]"],
    "accumulation": ["trainer.accumulate_grad_batches=2", "optimizer=sgd"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0"],
    "fold": ["data.fold=1", "optimizer=muon"],
    "batch norm": ["model=bn_dropout", "model.stage1=[2,2]", "model.stage2=[2,2,2,2]", "scheduler=cosine"],
}
# Phase: what is killed before or after it is called for the nth time.
PHASES: dict[str, list[tuple[str, range]]] = {
    "start": [
        ("mnist_cnn.train:Keeper.__enter__", range(1, 2)), ("mnist_cnn.runs.directory:Run.save_config", range(1, 2)),
        ("mnist_cnn.train:build_data", range(1, 2)), ("mnist_cnn.training.trainer:ready_model", range(1, 2)),
        ("mnist_cnn.train:Keeper.begin", range(1, 2)),
        ("mnist_cnn.training.trainer:build_trainer", range(1, 2)), ("mnist_cnn.train:describe", range(1, 2)),
    ],
    "first epoch": [("mnist_cnn.callbacks:History.on_train_batch_end", range(1, STEPS + 1))],
    "later epoch": [("mnist_cnn.callbacks:History.on_train_batch_end", range(STEPS + 1, EPOCHS * STEPS + 1))],
    "checkpoint": [
        ("mnist_cnn.callbacks:write_atomically", range(1, 2 * EPOCHS)), ("os:fsync", range(4, 12)),
        ("mnist_cnn.callbacks:write_table", range(1, EPOCHS + 1)),
    ],
    "validation": [("mnist_cnn.callbacks:History.on_validation_start", range(1, EPOCHS + 1))],
    "test": [
        ("mnist_cnn.train:measure", range(1, 2)), ("pytorch_lightning:Trainer.test", range(1, 2)),
        ("mnist_cnn.runs.directory:Run.save_predictions", range(1, 3)),
    ],
    "report": [("mnist_cnn.train:final_table", range(1, 2)), ("mnist_cnn.train:Keeper.__exit__", range(1, 2))],
}  # fmt: skip


# The same of fetching four files: before a download, after it, while it is unpacked, before it gets its name.
FETCHES: list[tuple[str, range]] = [
    ("mnist_cnn.data.source:_complete", range(1, 2)), ("mnist_cnn.data.source:from_mirrors", range(1, 2)),
    ("mnist_cnn.data.mirrors:download_url", range(1, 5)), ("torchvision.datasets.utils:_urlretrieve", range(1, 5)),
    ("mnist_cnn.data.source:_install", range(1, 5)), ("mnist_cnn.data.source:read_header", range(1, 5)),
    ("mnist_cnn.data.source:calculate_md5", range(1, 5)), ("shutil:rmtree", range(1, 3)),
]  # fmt: skip


def kill_at(path: str, nth: int, before: bool) -> None:
    """In the process that is to die: wraps what `module:name` names."""
    module, _, name = path.partition(":")
    *owners, name = name.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    calls, inner = 0, getattr(owner, name)

    @functools.wraps(inner)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner(*arguments, **keywords)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


@dataclass(frozen=True)
class Chaos:
    """Args:
    folder: for all that runs; `whole` holds the uninterrupted ones.
    """

    folder: Path
    chance: random.Random

    def recipe(self, name: str) -> list[str]:
        own = CONFIGURATIONS[name]
        net = [] if any(text.startswith("model=") for text in own) else ["model=gap", "model.stages=[[2]]"]
        return [*net, *COMMON, f"data.root={self.folder}", *own]

    @functools.cache  # noqa: B019
    def whole(self, name: str) -> Run:
        run = Run(self.folder / "whole" / name.replace(" ", "_"))
        program = start([*self.recipe(name), f"hydra.run.dir={run.path}"], self.folder)
        assert program.wait(300) == 0, program.printed.read_text()
        return run

    def kill_run(self, number: int, phase: str) -> str:
        """A run, killed in a phase, and continued; returns what was done."""
        name = self.chance.choice(sorted(CONFIGURATIONS))
        path, counts = self.chance.choice(PHASES[phase])
        nth, before = self.chance.choice(counts), self.chance.random() < 0.5
        whole, root = self.whole(name), self.folder / f"run{number}"
        run = Run(root / "killed")
        command = [*self.recipe(name), f"hydra.run.dir={run.path}"]
        told = f"{name}: {path} {'before' if before else 'after'} {nth}"
        program = start(command, self.folder, prepare=functools.partial(kill_at, path, nth, before))
        ended = program.wait(300)
        assert ended in (0, -signal.SIGKILL), f"{told}: {program.printed.read_text()}"
        _nobody_left(program, told)
        again = [f"resume={run.path}"]
        if not run.config_file.exists() or (not run.history() and self.chance.random() < 0.5):
            again = command  # before an epoch was complete the same command starts anew
        if not run.completed:
            program = start(again, self.folder)
            assert program.wait(300) == 0, f"{told}: {again}: {program.printed.read_text()}"
        _equal(whole, run, told)
        return told + (" (not reached)" if ended == 0 else "")

    @functools.cache  # noqa: B019
    def mirror(self) -> Callable[[], None]:
        """For a process to take KMNIST from here."""
        digests = write_mirror(self.folder / "mirror")
        return functools.partial(use_mirror, address(serve(self.folder / "mirror")), digests)

    def kill_fetch(self, number: int) -> str:
        """A run whose data are not there yet, killed while it fetches them, and the same command again."""
        path, counts = self.chance.choice(FETCHES)
        nth, before = self.chance.choice(counts), self.chance.random() < 0.5
        told = f"fetch: {path} {'before' if before else 'after'} {nth}"
        root, run = self.folder / f"fetched{number}", Run(self.folder / f"fetch{number}")
        command = [*self.recipe("plain"), "data=kmnist", f"data.root={root}", f"hydra.run.dir={run.path}"]
        mirror = self.mirror()
        program = start(command, self.folder, prepare=functools.partial(_both, mirror, path, nth, before))
        ended = program.wait(300)
        assert ended in (0, -signal.SIGKILL), f"{told}: {program.printed.read_text()}"
        if not run.completed:
            program = start(command, self.folder, prepare=mirror)
            assert program.wait(300) == 0, f"{told}: {program.printed.read_text()}"
        _nobody_left(program, told)
        _equal(self.whole("plain"), run, told)  # whose images are the same
        left = {file.name for file in (root / "KMNIST" / "raw").iterdir()} - {*NAMES, ".fetched", ".lock"}
        assert not left, f"{told}: left {left}"
        return told + (" (not reached)" if ended == 0 else "")

    def kill_several(self, number: int, search: bool) -> str:
        """A sweep or a search, killed at a random time: its own process, a job of it, or all at once."""
        folder = self.folder / f"sweep{number}"
        module, command, again = "mnist_cnn.train", ["-m", "seed=1,2", f"hydra.sweep.dir={folder}"], ["-m"]
        if search:
            module = "mnist_cnn.search.__main__"
            command = [f"directory={folder}", "trials=2", "sampler=random", "prune=false",
                       "space.data.batch_size=null"]  # fmt: skip
            again = command
        recipe = self.recipe("plain")
        seconds, what = self.chance.uniform(0.5, 5), self.chance.choice(["itself", "a job", "all"])
        told = f"{'search' if search else 'sweep'}: {what} after {seconds:.1f} s"
        program = start([*command, *recipe, "jobs=2"], self.folder, module)
        time.sleep(seconds)
        jobs = [metrics_of(Run(file.parent)).get("pid") for file in folder.rglob("metrics.json")]
        targets = {"itself": [program.process.pid], "a job": jobs[:1], "all": [program.process.pid, *jobs]}[what]
        for pid in filter(None, targets):
            with _suppressed():
                os.kill(pid, signal.SIGKILL)
        program.wait(300)
        _nobody_left(program, told)
        if search:
            program = start([*again, *recipe, "jobs=2"], self.folder, module)
        elif (folder / "sweep.yaml").exists():
            program = start(["-m", f"resume={folder}"], self.folder)
        else:
            program = start([*command, *recipe, "jobs=2"], self.folder)
        assert program.wait(300) in (0, 1), f"{told}: {program.printed.read_text()}"
        sweep = Sweep.load(folder)
        states = {sweep.progress(job).state for job in sweep.jobs}
        assert states == {"completed"}, f"{told}: {states}: {program.printed.read_text()}"
        assert len(sweep.jobs) == 2, told
        if not search:
            _equal(self.whole("plain"), sweep.run(sweep.jobs[0]), told)
        return told


def _both(mirror: Callable[[], None], path: str, nth: int, before: bool) -> None:
    mirror()
    kill_at(path, nth, before)


class _suppressed:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        return isinstance(error, ProcessLookupError)


def _equal(whole: Run, run: Run, told: str) -> None:
    try:
        same(whole, run)
        for weights in ("best", "last"):
            one, two = (load_checkpoint(each.checkpoint(weights))["state_dict"] for each in (whole, run))
            assert_equal(one, two, weights)
        for split in ("test", "val"):
            one, two = (each.predictions_of(split) for each in (whole, run))
            assert one.exists() == two.exists(), split  # a fold reads no test images
            assert not one.exists() or one.read_bytes() == two.read_bytes(), split
    except AssertionError as error:
        raise AssertionError(f"{told}: differs: {error}") from error
    left = [str(f) for f in run.path.rglob(".*") if f.name != ".lock"]
    assert not left, f"{told}: left {left}"


def _nobody_left(program: Program, told: str) -> None:
    """Jobs and workers notice within seconds that who started them is gone."""
    deadline = time.monotonic() + 30
    while (left := _of_session(program.process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"{told}: processes left {left}"


def _of_session(session: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def main() -> None:
    """`count`, `seed=` and `only=` (a phase, or fetch, sweep, search) are the arguments."""
    count = next((int(text) for text in sys.argv[1:] if text.isdigit()), 40)
    settings = dict(text.split("=", 1) for text in sys.argv[1:] if "=" in text)
    seed = int(settings.get("seed", random.SystemRandom().randrange(10**6)))
    done: collections.Counter[str] = collections.Counter()
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        chaos = Chaos(Path(name), random.Random(seed))
        write_images(chaos.folder / "custom" / "raw")
        kinds: dict[str, Callable[[int], str]] = {p: functools.partial(chaos.kill_run, phase=p) for p in PHASES}
        kinds |= {"fetch": chaos.kill_fetch}
        kinds |= {"sweep": functools.partial(chaos.kill_several, search=False)}
        kinds |= {"search": functools.partial(chaos.kill_several, search=True)}
        kinds = {name: kill for name, kill in kinds.items() if name == settings.get("only", name)}
        for number in range(count):
            kind = list(kinds)[number % len(kinds)]
            try:
                print(f"{number + 1}/{count} {kind}: {kinds[kind](number)}", flush=True)
                done[kind] += 1
            except AssertionError as error:
                failed.append(f"{number + 1} {kind}: {error}")
                print(f"FAILED {failed[-1]}", flush=True)
    print(f"\n{sum(done.values())} of {count} kills went on to the uninterrupted run's end, seed={seed}")
    print("\n".join(f"  {kind:12} {done[kind]}" for kind in kinds))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    from chaos import main as importable  # what kills is sent to other processes by this name

    importable()
