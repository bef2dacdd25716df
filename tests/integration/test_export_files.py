"""The files of an export: all of them or none, and what they say to who has nothing else."""

import resource

import pytest

from mnist_cnn.export import made

NEW = {"mnist_net.h": b"new", "mnist_net.c": b"new" * 1000}


@pytest.mark.parametrize("old", [{}, {"mnist_net.h": b"old", "mnist_net.c": b"old"}], ids=["first", "forced"])
def test_a_disk_that_fills_leaves_what_was_there(tmp_path, old):
    folder = tmp_path / "export" / "c"
    if old:
        made.write(folder, old)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"mnist_net\.c"):
            made.write(folder, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {file.name: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == old
    assert folder.exists() == bool(old)
    made.write(folder, NEW)
    assert (folder / "mnist_net.c").read_bytes() == NEW["mnist_net.c"]
