"""Every command and Python example of README.md and docs/, as printed there.

A line of a ```bash block is a command; what needs a name of the reader's (a cluster's partition) stands in a ```text
block. A block that begins with the name of a file is that file. The fast tests read each one in this process; the slow
one runs them in order, one folder for each document, with MNIST_CNN_TINY=1 in the environment and no other change.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra

import mnist_cnn.runs.__main__ as runs
from mnist_cnn import evaluate, validate
from mnist_cnn.config.compose import launch
from mnist_cnn.search.settings import read_settings

ROOT = Path(__file__).parents[2]
# Set up, install, measure for long or run the tests: not inside a test.
ELSEWHERE = re.compile(
    r"make (test|setup|wheel|benchmark|peers|reproduce|pages)|"
    r"(pip|uv|git|source|cd|\S*venv\S*) |python3? -m (pip|venv) "
)
EXAMPLE = re.compile(r"^```(bash|python|yaml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")


def examples(document: Path) -> list[tuple[str, str]]:
    """`bash` and a command, `python` and a block, or the name of a file and its text, in the order of the document."""
    found = []
    for language, block in EXAMPLE.findall(document.read_text()):
        if language == "bash":
            lines = block.replace("\\\n", " ").splitlines()
            found += [("bash", line) for line in lines if line.strip() and not line.startswith("#")]
        elif named := FILE.match(block):
            found.append((named[1], block))
        elif language == "python":
            found.append(("python", block))
    return found


DOCUMENTS = {
    str(file.relative_to(ROOT)): examples(file)
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if examples(file)
}


def words_of(command: str) -> list[str]:
    """Without the comment, and without variables that are set in front of it."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words


def wrong_with(command: str, cli) -> str | None:
    """What keeps a command from being understood; nothing of it is run."""
    words = words_of(command)
    if words[0] == "make":
        if f"\n{words[1]}:" not in (ROOT / "Makefile").read_text():
            return "no such target"
        given = [word.removeprefix("ARGS=") for word in words[2:] if word.startswith("ARGS=")]
        words = ["python", "-m", "mnist_cnn.train", *(part for text in given for part in text.split())]
        return wrong_with(shlex.join(words), cli) if command.startswith("make train") else None
    if words[:2] != ["python", "-m"]:
        return None if words[0] != "python" or (ROOT / words[1]).is_file() else "no such script"
    module, arguments = words[2], words[3:]
    if importlib.util.find_spec(module) is None:
        return "no such module"
    if module == "mnist_cnn.search" and "--help" not in arguments:
        read_settings(arguments)
    fits = module in ("mnist_cnn.train", "mnist_cnn.validate") and not any(a.startswith("resume=") for a in arguments)
    without_seeds = [a for a in arguments if not a.startswith("seed=")]  # a sweep of seeds is checked five times else
    return "refused" if fits and cli(*without_seeds, "rehearse=false", main=validate.main) != 0 else None


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "docs/extend.md"])  # test_extend.py
def test_every_example_is_understood(document, cli):
    bad = []
    for language, text in DOCUMENTS[document]:
        if language != "bash":
            compile(text, document, "exec")
        elif problem := wrong_with(text, cli):
            bad.append(f"{text}: {problem}")
    assert not bad


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_example_runs_as_printed(document, tmp_path):
    folder = tmp_path / "mnist_cnn"
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").mkdir()  # ready, so that `make train` does not set up another
    for part in ("bin", "lib", "lib64", "pyvenv.cfg"):
        (folder / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    for mark in (".begun", ".ready"):
        (folder / ".venv" / mark).touch()
    variables = os.environ | {"MNIST_CNN_TINY": "1", "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    failed = []
    for language, text in DOCUMENTS[document]:
        if language not in ("bash", "python"):
            (folder / language).parent.mkdir(parents=True, exist_ok=True)
            (folder / language).write_text(text)
            continue
        if language == "bash" and ELSEWHERE.match(text):
            continue
        call = ["bash", "-c", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(call, cwd=folder, env=variables, capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            failed.append(f"{text}\n  code {done.returncode}: {done.stderr[-1000:]}")
    assert not failed, "\n".join(failed)


def test_a_trial_says_so(cli, tiny_overrides, run_of, capsys, monkeypatch):
    monkeypatch.setenv("MNIST_CNN_TINY", "1")
    given: list[str] = []
    monkeypatch.setattr(Hydra, "multirun", lambda self, name, task, overrides: given.extend(overrides) or [])
    assert launch(["model=gap"], lambda cfg: None) == []
    assert given == ["model=gap", "debug=tiny"]  # jobs of a launcher too
    assert cli("model=vanilla", "trainer.max_epochs=1", *tiny_overrides) == 0
    assert "its figures mean nothing" in capsys.readouterr().err
    assert "at most 128 training, 100 validation, 100 test images used" in run_of().log_file.read_text()
    record = run_of().record()
    assert record.protocol.train_images == 128
    assert cli(f"run_dir={run_of().path}", main=evaluate.main) == 0
    assert cli(str(run_of().path.parent), main=runs.main) == 0
    assert "figures mean nothing" not in capsys.readouterr().err  # what reads measures and shows what is there
