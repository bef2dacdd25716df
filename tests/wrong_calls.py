"""Wrong calls of every entry point, generated from the real configuration, and a judge of how each is refused.

    make attack ARGS="1000 seed=7"

runs a thousand of them, each in a process and an empty folder of its own with bounded time (of the processor, so that a
busy machine is no fault) and memory, and tells how many were refused well: exit code 2, one line for each thing that is
wrong, naming the key or the value, no traceback, nothing written, nothing changed.
"""

import collections
import concurrent.futures
import contextlib
import functools
import io
import json
import os
import random
import re
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from conftest import write_images
from omegaconf import OmegaConf
from PIL import Image
from program import start

import mnist_cnn as mc
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.place import config_dir
from mnist_cnn.runs.listing import leaves

SECONDS, GIBIBYTES = 60, 8  # of the processor, of memory
WAIT = 900  # seconds after which a call hangs
FEW = [
    "data.validation_size=80",
    "trainer.max_epochs=1",
    "data.limit_train=64",
    "data.limit_val=20",
    "data.limit_test=20",
    "data.batch_size=16",
]
GROUPS = ["model", "optimizer", "scheduler", "data", "augment", "trainer", "speed", "metrics", "callbacks", "logger"]
TABLES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "fixtures" / "wrong_calls.yaml").read_text())


@dataclass(frozen=True)
class WrongCall:
    """Args:
    names: what the refusal must name at least one of.
    """

    kind: str
    module: str
    arguments: list[str]
    names: list[str]


@dataclass(frozen=True)
class World:
    """What the calls may refer to: `root` holds data, and `run` a finished run; none of it may change."""

    root: Path
    run: Path

    @classmethod
    def create(cls, root: Path) -> "World":
        write_images(root / "custom" / "raw")
        Image.fromarray(np.diag(np.full(28, 255, np.uint8))).save(root / "one.png")
        world = cls(root, root / "runs" / "done")
        with contextlib.redirect_stdout(io.StringIO()):
            mc.fit("model=gap", "model.stages=[[2]]", *world.fixed(), f"hydra.run.dir={world.run}")
        return world

    def fixed(self) -> list[str]:
        return [
            "data=custom",
            f"data.root={self.root}",
            "data.validation_size=80",
            "trainer=cpu",
            "figures=false",
            *FEW,
        ]

    def files(self) -> dict[str, int]:
        return {str(f): f.stat().st_mtime_ns for f in self.root.rglob("*") if f.is_file() and f.name != ".lock"}


def options(group: str) -> list[str]:
    folder = config_dir() / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))


def wrong_call(chance: random.Random, world: World) -> WrongCall:
    """One that is really wrong, of a kind drawn at random."""
    maker = chance.choices(*zip(*MAKERS.items(), strict=True))[0]  # type: ignore[arg-type]
    return maker(chance, world)


def valid_training(chance: random.Random, world: World) -> list[str]:
    """A call that trains: any net with any optimizer, schedule and further parts that go with any."""
    parts = {
        "model": ["gap", "bn_dropout", "vanilla", "sequential"],
        "optimizer": [name for name in options("optimizer") if name not in ("any", "adam_keras_eps")],
        "scheduler": ["constant", "cosine", "exponential", "inverse_time", "one_cycle", "plateau", "step"],
        "augment": ["none", "affine"],
        "speed": ["fast", "plain"],
        "metrics": ["none", "f1", "calibration", "[f1,per_class]"],
        "callbacks": ["default", "[checkpoint,ema]", "[checkpoint,early_stopping]"],
    }
    return [f"{group}={chance.choice(names)}" for group, names in parts.items()] + world.fixed()


def _settings(base: list[str]) -> list[tuple[str, Any]]:
    return list(leaves(OmegaConf.to_container(compose_run(base).cfg)))  # type: ignore[arg-type]


def _leaf(chance: random.Random, settings: list[tuple[str, Any]], kinds: tuple[type, ...]) -> tuple[str, Any]:
    found = [(key, value) for key, value in settings if type(value) in kinds]
    return chance.choice([leaf for leaf in found if not re.search(r"_target_|\.\d+$|\[|learning_rates", leaf[0])])


def _module(chance: random.Random) -> str:
    return chance.choice(["mnist_cnn.train", "mnist_cnn.train", "mnist_cnn.validate"])


def wrong_type(chance: random.Random, world: World) -> WrongCall:
    """A number, switch or word of another type."""
    base = valid_training(chance, world)
    key, value = _leaf(chance, _settings(base), (int, float, bool))
    wrong = chance.choice(["zzz", "[1,2]", "{a: 1}", "'1'", "nan", "1.5.2", "[]"] + (["7"] if value is True else []))
    return WrongCall(f"type of a {type(value).__name__}", _module(chance), [*base, f"{key}={wrong}"], [key])


def null_or_deleted(chance: random.Random, world: World) -> WrongCall:
    base = valid_training(chance, world)
    key = chance.choice(TABLES["required"])
    return WrongCall(
        "null or deleted",
        _module(chance),
        [*base, chance.choice([f"{key}=null", f"~{key}"])],
        [key, key.partition(".")[0]],
    )


def out_of_range(chance: random.Random, world: World) -> WrongCall:
    base = valid_training(chance, world)
    key = chance.choice(sorted(TABLES["range"]))
    return WrongCall("range", _module(chance), [*base, f"{key}={chance.choice(TABLES['range'][key])}"], [key])


def typo(chance: random.Random, world: World) -> WrongCall:
    """A key with a letter more, less or other."""
    base = valid_training(chance, world)
    settings = _settings(base)
    key, value = _leaf(chance, settings, (int, float, bool, str, type(None)))
    at = chance.randrange(len(key))
    letter = chance.choice("abcdefghijklmnopqrstuvwxyz_\u00fc")
    wrong = chance.choice([key[:at] + letter + key[at:], key[:at] + letter + key[at + 1 :], key[:at] + key[at + 1 :]])
    if any(known == wrong for known, _ in settings) or wrong.strip(".") != wrong or ".." in wrong:
        wrong = key + "q"
    text = "1" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    written = chance.choice(["", "+", "++"]) + wrong
    return WrongCall("typo in a key", _module(chance), [*base, f"{written}={text}"], [wrong, wrong.partition(".")[0]])


def no_such_option(chance: random.Random, world: World) -> WrongCall:
    base = valid_training(chance, world)
    group = chance.choice([*GROUPS, "experiment", "sweep", "debug"])
    name = chance.choice([*options(group), "zzz"])
    wrong = chance.choice([name[:-1] + "q", name + "x", name.upper() + "_", "3", "[gap,vanilla]", "..", "/etc/passwd"])
    return WrongCall("no such file of a group", _module(chance), [*base, f"{group}={wrong}"], [group])


def malformed(chance: random.Random, world: World) -> WrongCall:
    """Not key=value, or a value that does not parse."""
    [wrong] = shlex.split(chance.choice(TABLES["malformed"]))
    named = [wrong.strip("'~+ ") or "key=value", wrong.partition("=")[0] or "key=value", "key=value"]
    return WrongCall("malformed", _module(chance), [*valid_training(chance, world), wrong], named)


def wrong_target(chance: random.Random, world: World) -> WrongCall:
    base = valid_training(chance, world)
    key = chance.choice([*GROUPS[:6], "speed", "callbacks.checkpoint"])
    target = chance.choice(TABLES["targets"])
    return WrongCall("target", _module(chance), [*base, f"++{key}._target_={target}"], [key, target])


def word_for_a_choice(chance: random.Random, world: World) -> WrongCall:
    base = valid_training(chance, world)
    key = chance.choice(TABLES["choices"])
    word = chance.choice(["zzz", "onc", "fp32", "tpu2", "besst", "[a]", "{b: 1}", "1.5", "x" * 400])
    return WrongCall("word", _module(chance), [*base, f"{key}={word}"], [key, f"{word!r}"])


def size(chance: random.Random, world: World) -> WrongCall:
    """More than any machine has."""
    model, wrong = chance.choice(TABLES["size"]).split()
    return WrongCall("size", _module(chance), [*valid_training(chance, world)[1:], model, wrong], [wrong.split("=")[0]])


def wrong_path(chance: random.Random, world: World) -> WrongCall:
    base = valid_training(chance, world)
    key = chance.choice(["data.root", "resume", "weights", "run_root", "--config-dir"])
    if key == "--config-dir":
        return WrongCall("path", _module(chance), [*base, key, "/nowhere"], ["/nowhere"])
    paths = ["", "/dev/null", "/proc/x", str(world.run / "metrics.json")]
    if key != "run_root":
        paths += ["/nowhere", "/proc/1/mem", "no/such", str(world.root / "custom" / "raw"), "sch\u00f6n"]
    path = chance.choice(paths)
    return WrongCall("path", "mnist_cnn.train", [*base, f"{key}={path}"], [key, path or "empty"])


def wrong_resume(chance: random.Random, world: World) -> WrongCall:
    """Of a finished run, or with what a resumed run cannot change."""
    wrong = shlex.split(chance.choice(TABLES["resume"]))
    named = [text.partition("=")[0] for text in wrong]
    call = [f"resume={world.run}", *wrong]
    return WrongCall("resume", "mnist_cnn.train", call, [*named, "already finished", "resume"])


def wrong_sweep(chance: random.Random, world: World) -> WrongCall:
    wrong = chance.choice(TABLES["sweep"])
    return WrongCall("sweep", _module(chance), ["-m", *valid_training(chance, world), wrong], wrong.split("=", 1))


def wrong_option(chance: random.Random, world: World) -> WrongCall:
    """The entry points beside training."""
    module = chance.choice(sorted(TABLES["options"]))
    line = chance.choice(TABLES["options"][module]).replace("RUN", str(world.run)).replace("ROOT", str(world.root))
    arguments = shlex.split(line)
    extra = ["data=custom", f"data.root={world.root}", "trainer=cpu"] if module == "search" else []
    named = [part for text in arguments for part in re.split(r"[=\[\],]", text) if part]
    path = f"mnist_cnn.{module}" + ".__main__" * (module != "evaluate")
    return WrongCall(
        f"option of {module}",
        path,
        extra + arguments,
        [*named, *(n.removeprefix("space.") for n in named), "empty", "needs", "name", "expected", "run_dir="],
    )


MAKERS = {
    wrong_type: 5, null_or_deleted: 3, out_of_range: 6, typo: 5, no_such_option: 3, malformed: 4, wrong_target: 3,
    word_for_a_choice: 3, size: 2, wrong_path: 3, wrong_resume: 2, wrong_sweep: 3, wrong_option: 6,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """Args:
    faults: what was not as it should be; empty for a call that was refused well.
    """

    call: WrongCall
    exit_code: int | None
    seconds: float
    faults: list[str]
    output: str


def faults_of(call: WrongCall, exit_code: int | None, output: str, left: list[str]) -> list[str]:
    """What is wrong with a refusal."""
    if exit_code == 0:
        return ["accepted"]
    found = ["no end in time"] if exit_code is None else []
    if exit_code is not None and exit_code < 0:
        found.append(f"killed by {-exit_code}")
    found += ["traceback"] if "Traceback" in output else []
    found += ["Hydra's own words"] if "Error executing job" in output or "HYDRA_FULL_ERROR" in output else []
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    found += ["no error line"] if len(errors) != 1 else []
    shown = [name[:40] for name in call.names]
    if errors and not any(name and name in output for name in shown):
        found.append("names neither key nor value")
    found += ["more lines than errors"] if errors and _surplus(lines, errors[0]) else []
    found += ["a line too long"] if any(len(line) > 1200 for line in lines) else []
    found += [f"left {left[:3]}"] if left else []
    return found


def _surplus(lines: list[str], error: str) -> bool:
    rest = lines[lines.index(error) + 1 :]
    listed = [line for line in rest if line.startswith(("  - ", "  "))]
    return len(rest) > len(listed)


def attack(call: WrongCall, world: World, folder: Path) -> Verdict:
    folder.mkdir(parents=True)
    before, began = world.files(), time.monotonic()
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_CPU, (SECONDS, SECONDS))
    program = start(call.arguments, folder, call.module, memory=GIBIBYTES << 30, prepare=limit)
    try:
        exit_code: int | None = program.wait(WAIT)
    except AssertionError:
        exit_code = None
    output = program.printed.read_text(errors="replace")
    changed = [name for name, at in world.files().items() if before.get(name) != at]
    left = [str(f.relative_to(folder)) for f in folder.rglob("*") if f != program.printed]
    faults = faults_of(call, exit_code, output, left if exit_code else [])
    faults += [f"changed {changed[:3]}"] if changed else []
    return Verdict(call, exit_code, round(time.monotonic() - began, 2), faults, output)


def attacks(count: int, seed: int, world: World, folder: Path, at_once: int = 2) -> Iterator[Verdict]:
    calls = [wrong_call(random.Random(f"{seed} {i}"), world) for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda i: attack(calls[i], world, folder / str(i)), range(count))


def main() -> None:
    """`count`, and `seed=` and `out=` (a line of JSON for each call), are the arguments."""
    count = next((int(text) for text in sys.argv[1:] if text.isdigit()), 1000)
    settings = dict(text.split("=", 1) for text in sys.argv[1:] if "=" in text)
    seed = int(settings.get("seed", random.SystemRandom().randrange(10**6)))
    kinds: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    faults: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name, Path(settings.get("out", os.devnull)).open("w") as out:
        world = World.create(Path(name) / "world")
        for verdict in attacks(count, seed, world, Path(name) / "calls"):
            kinds[verdict.call.kind][0] += 1
            kinds[verdict.call.kind][1] += not verdict.faults
            faults.update(fault.partition(" [")[0] for fault in verdict.faults)
            print(json.dumps(asdict(verdict)), file=out, flush=True)
            if verdict.faults:
                print(f"{verdict.faults}: {verdict.call.module} {shlex.join(verdict.call.arguments)}")
                print("    " + "\n    ".join(verdict.output.strip().splitlines()[-4:]), flush=True)
    print(f"\n{sum(good for _, good in kinds.values())} of {count} refused well, seed={seed}")
    for kind, (all_of, good) in sorted(kinds.items()):
        print(f"  {kind:32} {good:4} of {all_of:4}")
    print("\n".join(f"  {number:4} {fault}" for fault, number in faults.most_common()))


if __name__ == "__main__":
    main()
