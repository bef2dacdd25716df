"""The exported C under sanitizers, by two compilers, and on a Cortex-M4 (QEMU)."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_cnn.export.c_file import calibrated
from mnist_cnn.export.c_float import float_source
from mnist_cnn.export.c_integer import integer_source, sizes
from mnist_cnn.export.compiler import FLAGS, run_c
from mnist_cnn.export.integers import logits_of
from mnist_cnn.export.source_text import filled, template
from mnist_cnn.export.translate import graph_of
from mnist_cnn.export.web import run_script

pytestmark = pytest.mark.use
pytest_plugins = ["use_fixtures"]
CHIP = Path(__file__).parent / "chip"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ON_CHIP = 1000  # pictures
UNDER_SANITIZERS = 1000
ARM = ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-Os", "-nostdlib")
BOARD = (
    "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0",
    "-semihosting-config", "enable=on,target=native",
)  # fmt: skip


@pytest.fixture(scope="module")
def graph(source):
    return graph_of(source.net, source.divide_by, "format=c")


@pytest.fixture(scope="module")
def steps(source, graph):
    return calibrated(source, graph)


@pytest.fixture(scope="module")
def whole(steps, pixels):
    return logits_of(steps, pixels)


def program(kind):
    return {"measure.c": filled(template("measure.c"), TYPE=kind, CLASSES=10)}


@pytest.mark.parametrize("compiler", ["gcc", f"{sys.executable} -m ziglang cc"], ids=["gcc", "zig"])
def test_all_logits_are_right_and_sanitizers_find_nothing(
    graph, steps, whole, source, pixels, compiler, monkeypatch, say
):
    monkeypatch.setenv("CC", compiler)
    named = "zig cc" if "ziglang" in compiler else compiler
    sanitized = SANITIZED if compiler == "gcc" else ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    expected = source.logits(pixels)
    for flags, count in (((), len(pixels)), (sanitized, UNDER_SANITIZERS)):
        said = run_c(float_source(graph) | program("float"), pixels[:count], 10, np.float32, flags)
        assert np.abs(said - expected[:count]).max() < 1e-4
        assert np.array_equal(said.argmax(1), expected[:count].argmax(1))
        said_whole = run_c(integer_source(steps) | program("int32_t"), pixels[:count], 10, np.int32, flags)
        assert np.array_equal(said_whole, whole[:count])
        say(
            f"{' '.join([named, *FLAGS, *flags])}, {count:,} test images: float32 logits within "
            f"{np.abs(said - expected[:count]).max():.1e} of the checkpoint's, int8 ones bit for bit those of NumPy"
            + (", nothing found" if flags else "")
        )


def test_the_script_of_the_page_says_what_the_c_says_bit_for_bit(graph, source, pixels, say):
    of_c = run_c(float_source(graph) | program("float"), pixels, 10, np.float32)
    assert np.array_equal(of_c, run_script(source, graph, pixels))
    say("float32 logits of 10,000 test images: the page's script in node and the C by gcc, bit for bit the same")


def test_a_small_chip_says_the_same(steps, whole, pixels, answers, tmp_path, say):
    for name, text in integer_source(steps).items():
        (tmp_path / name).write_text(text)
    pictures = tmp_path / "pictures.bin"
    pictures.write_bytes(struct.pack("<I", ON_CHIP) + pixels[:ON_CHIP].tobytes())
    compiler = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *ARM,
        *FLAGS[:1],
        *FLAGS[2:],
        f"-Wl,-T,{CHIP / 'link.ld'},-e,reset",
    ]
    subprocess.run([*compiler, "-I.", CHIP / "start.c", "mnist_net.c", "-o", "net.elf"], cwd=tmp_path, check=True)
    loaded = ["-device", f"loader,file={pictures},addr=0x21000000,force-raw=on", "-kernel", "net.elf"]
    subprocess.run(["qemu-system-arm", *BOARD, *loaded], cwd=tmp_path, check=True, timeout=900)
    said = (tmp_path / "said.bin").read_bytes()
    rows = np.frombuffer(said[:-4], np.int32).reshape(ON_CHIP, 11)
    assert np.array_equal(rows[:, :10], whole[:ON_CHIP])
    [stack] = struct.unpack("<I", said[-4:])
    constants, memory = sizes(steps)
    sections = sections_of((tmp_path / "net.elf").read_bytes())
    assert constants <= 9000
    assert memory + stack <= 16_000
    assert (rows[:, 10] > 0).all()
    say(
        f"Cortex-M4 (qemu mps2-an386, zig {' '.join(ARM)}): {ON_CHIP:,} test images bit for bit as NumPy; "
        f"{rows[:, 10].max():,} instructions a picture; {constants:,} bytes of constants, {sections['.text']:,} with "
        f"the program and the test's own; {memory:,} bytes of workspace and picture and {stack:,} of stack, on a chip "
        "of 16 KiB"
    )
    differ = int((whole.argmax(1) != answers).sum())
    say(f"int8: {differ} of 10,000 answers differ from the checkpoint's")


def sections_of(elf: bytes) -> dict[str, int]:
    """Sizes by name, of a file for 32 bits."""
    start, count, names = struct.unpack_from("<I", elf, 32)[0], *struct.unpack_from("<HH", elf, 48)
    headers = [struct.unpack_from("<10I", elf, start + 40 * i) for i in range(count)]
    text = elf[headers[names][4] :]
    return {text[h[0] : text.index(b"\0", h[0])].decode(): h[5] for h in headers}
