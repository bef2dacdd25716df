"""Wrong calls, generated: each is refused in one line that names what is wrong, and leaves nothing."""

import contextlib
import io
import logging
import random
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from wrong_calls import World, attacks, faults_of, wrong_call

ENDLESS = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World.create(tmp_path_factory.mktemp("world"))


@settings(ENDLESS, max_examples=20, derandomize=True, database=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_a_wrong_call_is_refused_well(world, seed):
    call = wrong_call(random.Random(seed), world)
    before, output = world.files(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            exit_code = called(call.module, call.arguments)
        left = [str(path) for path in Path().rglob("*")]
    assert faults_of(call, exit_code, output.getvalue(), left) == [], f"{call}\n{output.getvalue()}"
    assert world.files() == before


def called(module: str, arguments: list[str]) -> int:
    entry = __import__(module, fromlist=["main"])
    with mock.patch.object(sys, "argv", [module, *arguments]):
        try:
            entry.main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.mark.slow
def test_of_2000_wrong_calls_99_in_100_are_refused_well_and_none_loses_anything(tmp_path):
    (tmp_path / "world").mkdir()
    verdicts = list(attacks(2000, 1, World.create(tmp_path / "world"), tmp_path / "calls"))
    bad = [verdict for verdict in verdicts if verdict.faults]
    logging.info("\n".join(map(str, bad)))
    assert len(bad) <= 20
    assert not [v for v in bad if any(fault.startswith(("traceback", "changed", "killed")) for fault in v.faults)]
