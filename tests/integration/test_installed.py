"""The package as a user has it: a wheel, a script of one's own, no checkout."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, sys
before = dict(os.environ)
import mnist_cnn as mc

assert dict(os.environ) == before
assert not {{"torch", "hydra", "pytorch_lightning", "pydantic"}} & set(sys.modules)
import logging, socket, warnings
handlers = logging.getLogger().handlers[:]
import matplotlib, pytorch_lightning, torch
filters = list(warnings.filters)
import mnist_cnn.interface
assert [f for f in warnings.filters if f not in filters] == [], warnings.filters
assert logging.getLogger().handlers == handlers
assert socket.getdefaulttimeout() is None
assert os.environ.get("THP_MEM_ALLOC_ENABLE") is None
print("the import changed nothing")
print("imported from", mc.__file__)

common = {common!r}
result = mc.fit("model=sequential", "trainer.max_epochs=1", *common, seed=2)
rows = mc.fit_many("model=sequential", "trainer.max_epochs=1", *common, seed=[2, 3])
assert [row["state"] for row in rows] == ["completed", "completed"], rows
[same] = [row for row in rows if row["seed"] == 2]
assert same["test_acc"] == result.figures["test/acc"], (same, result.figures)
assert mc.summarize(rows[0]["sweep_directory"]) == rows
print("ran once")
"""


def test_an_installed_wheel_serves_a_script_without_a_main_guard(tmp_path, tiny_overrides):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--target", str(site), str(ROOT))
    assert "--cfg=job prints" in run(str(site / "bin" / "mnist-cnn-train"), "--help", env=environment).stdout

    common = ["speed=plain", *tiny_overrides]  # nothing to compile
    (elsewhere / "script.py").write_text(SCRIPT.format(common=common))
    done = run("script.py", cwd=elsewhere, env=environment)
    assert done.stdout.count("the import changed nothing") == done.stdout.count("ran once") == 1
    assert f"imported from {site}" in done.stdout
    assert not done.stderr
