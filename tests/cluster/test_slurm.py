"""Sweeps on SLURM: jobs lost in every way go on, and what comes out is what comes out where nothing happens."""

import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from on_slurm import complete, epochs_of, ids_of, left_by, printed_by

from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep.plan import Sweep

pytestmark = pytest.mark.cluster
pytest_plugins = ["cluster_fixtures"]
EPOCHS, BEFORE = 6, 3  # in all, and before the gate
LONG = [f"trainer.max_epochs={EPOCHS}", "++callbacks.gate._target_=gates.Gate", f"++callbacks.gate.epoch={BEFORE}"]


def assert_as_uninterrupted(sweep: Sweep, uninterrupted, epochs: int = EPOCHS) -> None:
    for job in sweep.jobs:
        assert left_by(sweep.run(job)) == uninterrupted(job.seed, epochs), job


def test_a_sweep_of_eight_is_the_same_as_on_this_machine(commands, slurm, uninterrupted, log):
    output = commands.run("-m", "hydra/launcher=slurm", *commands.overrides, "trainer.max_epochs=2", "seed=range(1,9)")
    assert "warning" not in output.lower()
    lines = output.splitlines()
    assert re.match(r"sweep: 8 jobs, 8 put into the queue of SLURM \(\d+\)", lines[0])
    assert sum(bool(re.match(r"job \d \(seed=\d\): completed", line)) for line in lines) == 8
    [plan] = commands.folder.rglob("sweep.yaml")
    sweep = Sweep.load(plan.parent)
    assert_as_uninterrupted(sweep, uninterrupted, 2)
    states = [slurm.states()[job] for job in ids_of(sweep)]
    assert states == ["COMPLETED"] * 8
    log(f"- a sweep of eight: {', '.join(ids_of(sweep))}: all {states[0]}; figures and weights as without SLURM")


def test_cancelled_jobs_are_named_and_go_on_when_the_sweep_is_resumed(commands, slurm, uninterrupted, log):
    sweep = commands.submit("runs/multirun/first", *LONG, "seed=1,2,3")
    first = ids_of(sweep)
    slurm.wait(lambda: all(epochs_of(sweep, n) == BEFORE for n in (0, 1, 2)), "all to come to the gate")
    shown = commands.run(str(sweep.path), module="mnist_cnn.sweep")
    assert "3 running and 0 waiting on SLURM" in shown
    slurm.ask("scancel", first[0])
    slurm.wait(lambda: slurm.states()[first[0]] == "CANCELLED", "the end of the cancelled job")
    watching = commands.start("-m", "resume=auto")
    slurm.wait(lambda: ids_of(sweep)[0] != first[0], "the new job")
    again = ids_of(sweep)
    assert again[1:] == first[1:]  # those that SLURM still had were left alone
    slurm.wait(lambda: slurm.states()[again[0]] == "RUNNING", "its start")
    slurm.ask("scancel", again[0])
    slurm.wait(lambda: slurm.states()[again[0]] == "CANCELLED", "its end")
    commands.go()
    output, _ = watching.communicate(timeout=200)
    assert watching.returncode == 1
    assert "sweep: 3 jobs, 1 put into the queue of SLURM" in output
    assert "job 0 stopped: ended by scancel" in " ".join(output.split())
    done = epochs_of(sweep, 0)
    output = commands.run("-m", f"resume={sweep.path}")
    assert_as_uninterrupted(sweep, uninterrupted)
    states = slurm.states()
    assert [states[job] for job in (first[0], again[0], ids_of(sweep)[0])] == ["CANCELLED", "CANCELLED", "COMPLETED"]
    log(
        f"- scancel: {first[0]} and {again[0]} CANCELLED, {done} of {EPOCHS} epochs done; resumed by auto and by the "
        f"directory, as {ids_of(sweep)[0]}: COMPLETED; figures and weights as uninterrupted"
    )


@pytest.mark.parametrize("grace", [0, 30])
def test_a_preempted_job_goes_on_by_itself(commands, slurm, uninterrupted, log, grace):
    """With time to stop SLURM puts back only what it had to kill in the end."""
    slurm.ask("scontrol", "update", "PartitionName=main", f"GraceTime={grace}")
    sweep = commands.submit("preempted", *LONG, "seed=4,5")
    ids = ids_of(sweep)
    slurm.wait(lambda: all(epochs_of(sweep, n) == BEFORE for n in (0, 1)), "both to come to the gate")
    before = [epochs_of(sweep, n) for n in (0, 1)]
    urgent = ["--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
    slurm.ask("sbatch", *urgent)
    slurm.wait(lambda: [slurm.restarts_of(job) for job in ids] == [1, 1], "both to be put back")
    commands.go()
    slurm.wait(lambda: complete(sweep), "the sweep")
    slurm.ask("scontrol", "update", "PartitionName=main", "GraceTime=0")
    assert_as_uninterrupted(sweep, uninterrupted)
    log(
        f"- preempted, GraceTime={grace}, after {before} of {EPOCHS} epochs: {', '.join(ids)} put back into the queue, "
        "COMPLETED; figures and weights as uninterrupted"
    )


def test_a_requeued_job_goes_on_by_itself(commands, slurm, uninterrupted, log):
    sweep = commands.submit("requeued", *LONG, "seed=4")
    [job] = ids_of(sweep)
    slurm.wait(lambda: epochs_of(sweep, 0) == BEFORE, "the gate")
    slurm.ask("scontrol", "requeue", job)
    slurm.wait(lambda: slurm.restarts_of(job) == 1, "SLURM to put it back")
    commands.go()
    slurm.wait(lambda: complete(sweep), "the sweep")
    assert_as_uninterrupted(sweep, uninterrupted)
    log(f"- scontrol requeue: {job} put back, COMPLETED; figures and weights as uninterrupted")


def test_a_job_whose_node_is_lost_goes_on_elsewhere_and_its_old_process_writes_nothing_more(
    commands, slurm, uninterrupted, log
):
    """The node's daemons die, the processes of its jobs live on: the worst that a lost network can do."""
    sweep = commands.submit("lost", *LONG, "seed=6")
    [job] = ids_of(sweep)
    slurm.wait(lambda: epochs_of(sweep, 0) == BEFORE, "the gate")
    node = slurm.node_of(job)
    slurm.script("kill-node", node)
    slurm.wait(lambda: slurm.restarts_of(job) == 1 and slurm.states()[job] == "RUNNING", "another node to take over")
    assert slurm.node_of(job) != node
    slurm.wait(lambda: "an earlier process still trains this run" in printed_by(sweep, 0), "the new process to wait")
    commands.go()
    slurm.wait(lambda: complete(sweep), "the sweep")
    assert "another process goes on with this run; this one leaves it alone" in printed_by(sweep, 0)
    slurm.script("start-node", node)
    assert_as_uninterrupted(sweep, uninterrupted)
    log(
        f"- node lost: {job} on {node} put back and started on the other while its old process was alive in epoch "
        f"{BEFORE + 1}, which wrote nothing more; COMPLETED; figures and weights as uninterrupted"
    )


def test_a_job_that_meets_its_time_limit_goes_back_or_is_named_and_resumed(commands, slurm, uninterrupted, log):
    """SLURM looks at time limits every half minute, and warns of them up to a minute early."""
    words = [*LONG, "hydra.launcher.timeout_min=3", "hydra.launcher.signal_delay_s=10"]
    back = commands.submit("back", *words, "seed=7")
    ends = commands.submit("ends", *words, "seed=8", "hydra.launcher.max_num_timeout=0")
    [back_id], [ends_id] = ids_of(back), ids_of(ends)
    slurm.wait(lambda: slurm.restarts_of(back_id) == 1, "the time limit")
    assert "stopped by SIGUSR2, as before a time limit" in printed_by(back, 0)
    stopped_in = epochs_of(back, 0)
    slurm.wait(lambda: slurm.states()[ends_id] in ("TIMEOUT", "FAILED"), "the time limit of the other")
    state = slurm.states()[ends_id]
    shown = commands.run(str(ends.path), module="mnist_cnn.sweep")
    assert "job 0 stopped: ended by its time limit (hydra.launcher.timeout_min)" in " ".join(shown.split())
    killed_in = epochs_of(ends, 0)
    commands.go()
    commands.run("-m", f"resume={ends.path}", "hydra.launcher.timeout_min=10")
    slurm.wait(lambda: complete(back), "the requeued job")
    for sweep in (back, ends):
        assert_as_uninterrupted(sweep, uninterrupted)
    log(
        f"- time limit of 3 min: {back_id} put back after {stopped_in} of {EPOCHS} epochs, COMPLETED; with "
        f"max_num_timeout=0 {ends_id}: {state} after {killed_in}, resumed as {ids_of(ends)[0]}: COMPLETED; figures and "
        "weights as uninterrupted"
    )


def test_a_job_over_its_memory_and_one_that_fails_are_named(commands, slurm, log):
    sweep = commands.submit("memory", *LONG, "seed=1", "hydra.launcher.mem_gb=null", "hydra.launcher.mem_per_cpu=200M")
    [job] = ids_of(sweep)
    slurm.wait(lambda: slurm.states()[job] in ("FAILED", "OUT_OF_MEMORY"), "SLURM to end it")
    output = commands.run(str(sweep.path), module="mnist_cnn.sweep")
    assert "job 0 failed: ended by its memory (hydra.launcher.mem_gb)" in " ".join(output.split())
    diverges = commands.run(
        "-m", "hydra/launcher=slurm", *commands.overrides, "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=2",
        "hydra.sweep.dir=diverges", "seed=1", code=1,
    )  # fmt: skip
    assert "job 0 diverged" in diverges
    log(f"- memory of 200 MB: {job} {slurm.states()[job]}, and the summary says so")


def test_closing_the_command_leaves_the_jobs_alone(commands, slurm, uninterrupted):
    words = ["-m", "hydra/launcher=slurm", *commands.overrides, *LONG, "seed=1,2", "hydra.sweep.dir=closed"]
    watching = commands.start(*words)
    plan = commands.folder / "closed" / "slurm.json"
    slurm.wait(plan.exists, "the jobs in the queue")
    time.sleep(2)
    watching.send_signal(signal.SIGINT)
    output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert "the jobs go on. Watch them:" in output
    sweep = Sweep.load(plan.parent)
    commands.go()
    slurm.wait(lambda: complete(sweep), "the jobs")
    assert_as_uninterrupted(sweep, uninterrupted)
    assert "completed" in commands.run(str(sweep.path), module="mnist_cnn.sweep")


def test_what_sbatch_refuses_is_said_in_a_line_and_leaves_nothing(commands):
    words = ["-m", "hydra/launcher=slurm", "hydra.launcher.partition=none", "seed=1,2", *commands.overrides]
    output = commands.run(*words, code=1)
    assert output.startswith("error: hydra/launcher: ")
    assert "invalid partition" in output
    assert len(output.splitlines()) == 1
    assert [file.name for file in commands.folder.iterdir() if file.name != "__pycache__"] == ["gates.py"]


def test_one_run_over_two_tasks_is_that_of_one_process_and_resumes(commands, slurm, log):
    words = ["model=vanilla", *commands.overrides[1:], "trainer.max_epochs=3", "test_weights=last"]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=16"]
    # No network knows the nodes of this SLURM by name, so the tasks are told where the first of them is.
    call = "srun --ntasks-per-node=2 --nodes=1 --mem-per-cpu=2G env SLURM_NODELIST=localhost"

    def together(*arguments: str) -> str:
        line = shlex.join([*call.split(), sys.executable, "-m", "mnist_cnn.train", *arguments])
        where = [f"--chdir={commands.folder}", f"--output={commands.folder}/ddp.log", f"--wrap={line}"]
        sent = slurm.ask("sbatch", "--parsable", "--ntasks-per-node=2", "--nodes=1", "--mem-per-cpu=2G", *where)
        slurm.wait(lambda: slurm.states()[sent] in ("COMPLETED", "FAILED"), "two tasks")
        assert slurm.states()[sent] == "COMPLETED", (commands.folder / "ddp.log").read_text()
        return sent

    commands.run(*words, "hydra.run.dir=one")
    jobs = [together(*words, *two, "hydra.run.dir=two")]
    one, two_tasks = (Run(Path(commands.folder) / name) for name in ("one", "two"))
    difference = compare(one, two_tasks, 1e-5)
    commands.run("resume=one", "trainer.max_epochs=5")
    jobs.append(together("resume=two", "trainer.max_epochs=5"))
    later = compare(one, two_tasks, 1e-3)
    log(
        f"- one run over two tasks (ddp, gloo): {jobs[0]}, resumed as {jobs[1]}: COMPLETED; figures within "
        f"{difference:.0e}, after the resume {later:.0e}, of those of one process"
    )


def compare(one: Run, two: Run, most: float) -> float:
    """The largest relative difference of their figures, which is that of rounding."""
    first, second = (run.record().results.model_dump(exclude_none=True) for run in (one, two))
    assert first.keys() == second.keys()
    largest = max(abs(first[name] - second[name]) / max(abs(first[name]), 1e-9) for name in first)
    assert largest < most
    return largest


def test_a_place_stands_empty_for_less_than_a_second_between_two_jobs(commands, slurm, log):
    count, at_once = 40, 2
    sweep = commands.submit("forty", f"seed=range(1,{count + 1})", f"hydra.launcher.array_parallelism={at_once}")
    slurm.wait(lambda: complete(sweep), "the sweep", 600, hurry=False)
    slurm.wait(lambda: {slurm.states()[job] for job in ids_of(sweep)} == {"COMPLETED"}, "SLURM to see it")
    lives = slurm.lives_of(ids_of(sweep))
    took = max(end for _, end in lives) - min(start for start, _ in lives)
    there = sum(end - start for start, end in lives)
    empty = (at_once * took - there) / count
    assert empty < 1
    log(f"- {count} jobs, {at_once} at once: each {there / count:.1f} s, then its place empty for {empty:.2f} s")


def test_a_thousand_jobs_are_queued_and_summed_up_in_seconds(commands, slurm, log):
    """They wait in the queue: what is timed is what the package does beside the jobs."""
    held = "hydra.launcher.additional_parameters.hold=true"
    began = time.monotonic()
    sweep = commands.submit("thousand", "seed=range(1,1001)", held)
    queued = time.monotonic()
    shown = commands.run(str(sweep.path), module="mnist_cnn.sweep")
    summed_up = time.monotonic()
    assert "0 running and 1000 waiting on SLURM" in " ".join(shown.split())
    assert len(set(ids_of(sweep))) == 1000
    slurm.ask("scancel", *{job.partition("_")[0] for job in ids_of(sweep)})
    files = sum(1 for _ in sweep.path.rglob("*"))
    assert files < 1100
    log(
        f"- 1,000 jobs: checked and queued in {queued - began:.1f} s, summed up in {summed_up - queued:.1f} s, "
        f"starts of the programs included; {files:,} files"
    )
