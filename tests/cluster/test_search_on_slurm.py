"""Searches whose trials an array of SLURM jobs shares, two of them lost: in a journal file, and in PostgreSQL."""

import shlex
import sys

import postgresql
import pytest
from on_slurm import epochs_of
from searches import CALL, assert_none_lost_or_doubled, study_of

from mnist_cnn.search.trials import OWNER
from mnist_cnn.sweep.plan import Sweep

pytestmark = pytest.mark.cluster
pytest_plugins = ["cluster_fixtures"]
TRIALS, EPOCHS, BEFORE = 6, 6, 3  # trials in all, epochs of each, and before the gate
GATE = ["++callbacks.gate._target_=gates.Gate", f"++callbacks.gate.epoch={BEFORE}"]


@pytest.fixture(params=["journal", "postgresql"])
def storage(request):
    if request.param == "journal":
        yield "journal", "journal file", {}
        return
    if reason := postgresql.missing():
        pytest.skip(reason)
    with postgresql.running() as server:
        yield server.url, server.version, {"PGPASSWORD": postgresql.PASSWORD}


def test_of_an_array_two_jobs_are_lost_and_no_trial(commands, slurm, log, storage, monkeypatch):
    """As docs/sweeps.md says it."""
    url, name, secret = storage
    for key, value in secret.items():
        monkeypatch.setenv(key, value)
        monkeypatch.setitem(slurm.environment, key, value)
    folder = commands.folder / "big"
    words = [*CALL, *commands.overrides[1:], *GATE, f"trials={TRIALS}", f"trainer.max_epochs={EPOCHS}"]
    program = [sys.executable, "-m", "mnist_cnn.search", *words, f"storage={url}", f"directory={folder}"]
    printed = f"--output={commands.folder}/%a.printed"
    where = [f"--chdir={commands.folder}", printed, "--mem=2G", f"--wrap={shlex.join(program)}"]
    array = slurm.ask("sbatch", "--parsable", "--array=1-3", "--requeue", *where)
    jobs = [f"{array}_{number}" for number in (1, 2, 3)]

    def all_at_the_gate() -> bool:
        if not (folder / "sweep.yaml").exists():
            return False
        sweep = Sweep.load(folder)
        return [epochs_of(sweep, number) for number in range(len(sweep.jobs))] == [BEFORE] * 3

    slurm.wait(all_at_the_gate, "three trials at the gate")
    assert len({trial.user_attrs[OWNER] for trial in study_of(folder).trials}) == 3
    slurm.ask("scancel", jobs[0])
    slurm.ask("scontrol", "requeue", jobs[1])
    slurm.wait(lambda: slurm.states()[jobs[0]] == "CANCELLED", "the end of the cancelled one", hurry=False)
    slurm.wait(lambda: slurm.restarts_of(jobs[1]) == 1, "SLURM to put the other back")
    commands.go()
    slurm.wait(lambda: {slurm.states()[job] for job in jobs[1:]} == {"COMPLETED"}, "the others")
    went_on = assert_none_lost_or_doubled(folder, TRIALS, EPOCHS)
    assert len(went_on) == 2
    log(
        f"- search, {name}, an array of three jobs: {jobs[0]} CANCELLED, {jobs[1]} put back and {jobs[2]}: COMPLETED; "
        f"trials {went_on} went on from epoch {BEFORE}; {TRIALS} of {TRIALS} complete, none lost or twice"
    )
