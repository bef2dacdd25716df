"""Trained nets taken elsewhere: what each format says of pictures, and what it refuses before it writes."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from own_data import write_folders
from PIL import Image, ImageOps
from torch import nn

import mnist_cnn.demo.__main__ as demo
import mnist_cnn.export.__main__ as export
import mnist_cnn.export.translate as translate
from mnist_cnn.data import loaders
from mnist_cnn.errors import RunError
from mnist_cnn.export.c_file import names_of
from mnist_cnn.export.c_float import float_source, uses_math
from mnist_cnn.export.c_integer import integer_source
from mnist_cnn.export.compiler import run_c
from mnist_cnn.export.integers import logits_of
from mnist_cnn.export.quantize import LOGIT_UNIT, quantize
from mnist_cnn.export.source_text import filled, template
from mnist_cnn.export.translate import graph_of
from mnist_cnn.models.batch_norm import BatchNorm2d
from mnist_cnn.models.layers import build_sequential

SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
OPTIONS = {"init": "pytorch", "bn_momentum": 0.1, "bn_eps": 1e-3, "bn_debias": True}
# Together every kind of layer, at places that batch norm and ReLU can be folded into and at others.
LAYERS = {
    "gap": ["relu", [{"conv": {"filters": 3, "padding": "same", "bias": False, "activation": "none"}}, "batch_norm",
                     "pool", "activation", {"conv": {"filters": 4, "kernel": 4, "padding": "same"}}, "gap",
                     {"dense": 10}]],
    "bn": ["relu", [{"conv": 3}, "batch_norm", {"dropout": 0.1}, {"conv": 4}, "batch_norm", {"pool": 3}, "batch_norm",
                    "flatten", {"dense": 12}, "batch_norm", {"dense": 10}]],
    "sigmoid": ["sigmoid", [{"conv": {"filters": 3, "kernel": 5}}, "pool", {"conv": 4}, "flatten", {"dense": 10}]],
    "tanh": ["tanh", ["pool", {"conv": 4}, "batch_norm", {"conv": {"filters": 4, "padding": "same"}}, "gmp",
                      {"dense": 10}]],
    "elu": ["elu", [{"conv": 3}, {"conv": {"filters": 4, "activation": "leaky_relu"}}, {"conv": 10}, "gap"]],
    "depthwise": ["relu", [{"conv": {"filters": 4, "kernel": 5, "activation": "none"}}, "pool", "batch_norm",
                           "activation", {"conv": {"filters": 4, "groups": "depthwise", "padding": "same"}},
                           "batch_norm", {"conv": {"filters": 6, "kernel": 1}}, "pool",
                           {"conv": {"filters": 6, "groups": "depthwise"}}, "gap", {"dense": 10}]],
    "shared": ["silu", [{"conv": {"filters": 4, "activation": "none"}}, "batch_norm", "activation",
                        *[{"conv": {"filters": 4, "share": "all", "activation": "none"}}, "batch_norm",
                          "activation"] * 3, "gap", {"dense": 10}]],
    "gelu": ["gelu", [{"conv": 3}, {"conv": {"filters": 4, "activation": "silu"}}, "gap", {"dense": 10}]],
}  # fmt: skip


def net_of(name: str) -> nn.Sequential:
    """With moving averages and weights of batch norm that are not those of the start."""
    torch.manual_seed(0)
    activation, layers = LAYERS[name]
    net = build_sequential(layers, activation, **OPTIONS)[0]
    for module in net:
        if hasattr(module, "running_mean"):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.from_numpy(pictures(40)).float()[:, None] / 255)
    return net.eval()


OWN_DATA = ["model=vanilla", "data=own", "data.count=40", "trainer=cpu", "figures=false", "trainer.max_epochs=1",
            "hydra.run.dir=run"]  # fmt: skip


def pictures(count: int) -> np.ndarray:
    """Strokes of a few shades on black."""
    random = np.random.default_rng(1)
    found = np.zeros((count, 28, 28), np.uint8)
    for image in found:
        for _ in range(4):
            top, left, height, width = random.integers([3, 3, 2, 2], [20, 20, 9, 9])
            image[top : top + height, left : left + width] = random.integers(60, 256)
    return found


def with_program(files, kind):
    return files | {"measure.c": filled(template("measure.c"), TYPE=kind, CLASSES=10)}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
def test_c_says_what_the_net_says(name):
    net, shown = net_of(name), pictures(60)
    graph = graph_of(net, 255.0, "format=c")
    with torch.no_grad():
        expected = net(torch.from_numpy(shown).float()[:, None] / 255).numpy()
    said = run_c(with_program(float_source(graph), "float"), shown, 10, np.float32, SANITIZED, uses_math(graph))
    assert np.abs(said - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    steps = quantize(graph, shown)
    whole = logits_of(steps, shown)
    said = run_c(with_program(integer_source(steps), "int32_t"), shown, 10, np.int32, SANITIZED)
    assert np.array_equal(said, whole)  # bit for bit
    assert np.abs(whole * LOGIT_UNIT - expected).mean() < 0.05 * np.abs(expected).mean() + 0.02


class Residual(nn.Module):
    def forward(self, x):
        return x + x


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Residual(), "cannot express Residual: it is no sequence of layers"),
        (nn.Sequential(nn.Flatten(), nn.Sequential(Residual())), "layer 1.0 (Residual): no such layer there"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2)), "layer 0 (Conv2d): groups = 1, dilation = (2, 2)"),
        (nn.Sequential(nn.MaxPool2d(3, 2)), "layer 0 (MaxPool2d): windows that overlap"),
        (nn.Sequential(nn.GELU("tanh")), "layer 0 (GELU): approximate = 'tanh'"),
        (nn.Sequential(BatchNorm2d(1), nn.Softmax(1)), "layer 1 (Softmax): no such layer there"),
    ],
)
def test_a_layer_that_c_has_no_word_for_is_named(net, words):
    with pytest.raises(RunError) as refused:
        graph_of(net, 255.0, "format=c")
    assert words in str(refused.value)


def compiled_and_run(program):
    """The exit code of `mnist_net_try.c`."""
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "mnist_net.c", program.name, "-o", "try"]
    subprocess.run(command, cwd=program.parent, check=True)
    return subprocess.run([program.parent / "try"], capture_output=True).returncode


def test_every_format_measures_itself(run, cli, capsys):
    path = run("model=gap", "model.stages=[[2],[3]]")
    for words in (["format=onnx"], ["format=torch"], ["format=c"], ["format=c", "precision=int8"]):
        assert cli(f"run_dir={path}", *words, main=export.main) == 0
        assert "100 test images: " in capsys.readouterr().out
    folder = path / "export"
    card = (folder / "c_int8" / "model_card.md").read_text()
    for part in ("Training", "Accuracy", "Preparation", "Licence", "Limits", "bit for bit alike", "model=gap"):
        assert part in card
    vector = json.loads((folder / "c" / "test_vector.json").read_text())["images"]
    images = np.array([image["pixels"] for image in vector], np.uint8).reshape(-1, 1, 28, 28)
    expected = np.array([image["checkpoint_logits"] for image in vector])
    for name, kind in (("net", np.uint8), ("net_float", np.float32)):
        session = onnxruntime.InferenceSession(folder / "onnx" / f"{name}.onnx", providers=["CPUExecutionProvider"])
        logits, probabilities = session.run(None, {"images": images.astype(kind)})
        assert np.abs(logits - expected).max() < 1e-4
        assert np.allclose(probabilities.sum(1), 1)
    loaded = torch.export.load(folder / "torch" / "net.pt2").module()
    assert np.abs(loaded(torch.from_numpy(images[:3]))[0].detach().numpy() - expected[:3]).max() < 1e-4
    for form in ("c", "c_int8"):
        program = folder / form / "mnist_net_try.c"
        assert compiled_and_run(program) == 0
        text = program.read_text()
        program.write_text(re.sub(r"(expected\[.*\{\n    \{\n    )", r"\g<1>99", text))
        assert compiled_and_run(program) == 1
    whole = json.loads((folder / "c_int8" / "test_vector.json").read_text())
    assert whole["logits"] == "whole numbers in units of 2^-16"
    assert str(whole["images"][0]["logits"])[1:-1] in " ".join(text.split())


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on the PATH")
@pytest.mark.slow
def test_exports_know_the_classes_and_how_pictures_are_made(cli, tmp_path):
    write_folders(tmp_path / "pets", 60, (40, 60))
    call = ["model=gap", "model.stages=[[2],[3]]", "trainer=cpu", "figures=false", "data=folder", "data.root=pets"]
    assert cli(*call, "debug=one_batch", "hydra.run.dir=run") == 0
    assert cli("run_dir=run", "format=web", main=export.main) == 0
    assert "scaled to that" in (tmp_path / "run" / "export" / "web" / "model_card.md").read_text()
    assert cli("run_dir=run", "format=c", main=export.main) == 0
    assert '2: "class_2"' in (tmp_path / "run" / "export" / "c" / "mnist_net.h").read_text()
    assert cli("run_dir=run", "format=onnx", main=export.main) == 0
    session = onnxruntime.InferenceSession(tmp_path / "run" / "export" / "onnx" / "net.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"])[2] == "class_2"
    script = (tmp_path / "run" / "export" / "web" / "index.html").read_text()
    assert '"preparation": "resize", "light": false' in script
    random = np.random.default_rng(0)
    for shape in ((40, 60), (28, 28), (500, 300), (9, 200), (27, 29)):
        grey = random.integers(0, 256, shape).astype(np.uint8)
        (tmp_path / "grey").write_bytes(grey.tobytes())
        ask = f"""
            const grey = require("fs").readFileSync("grey"), data = new Uint8ClampedArray(4 * grey.length);
            for (let i = 0; i < grey.length; i++) data.set([grey[i], grey[i], grey[i], 255], 4 * i);
            require("fs").writeFileSync("small", resizePhoto(data, {shape[1]}, {shape[0]}).image);"""
        (tmp_path / "ask.cjs").write_text(template("prepare.js") + ask)
        subprocess.run(["node", "ask.cjs"], cwd=tmp_path, check=True)
        small = np.frombuffer((tmp_path / "small").read_bytes(), np.uint8).reshape(28, 28)
        expected = Image.fromarray(grey).resize((28, 28), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(small, np.asarray(expected))


def test_without_labelled_test_images_an_export_is_held_against_others(cli, capsys, tmp_path):
    write_folders(tmp_path / "pets", 60)
    call = ["model=gap", "model.stages=[[2],[3]]", "trainer=cpu", "figures=false", "data=folder", "data.root=pets"]
    for held_out, words in ((0.2, "10 validation images: "), (0, "60 training images: ")):
        run = f"hydra.run.dir=run_{held_out}"
        assert cli(*call, "data.test_share=0", f"data.validation_size={held_out}", "debug=tiny", run) == 0
        assert cli(f"run_dir=run_{held_out}", "format=c", main=export.main) == 0
        assert words in capsys.readouterr().out
        card = (tmp_path / f"run_{held_out}" / "export" / "c" / "model_card.md").read_text()
        assert f"{words.split()[1]} images alone, which training may have seen" in card


def test_the_page_of_a_net_for_pictures_on_a_light_ground_is_light(cli, tmp_path):
    write_folders(tmp_path / "pets", 60)
    for file in tmp_path.glob("pets/*/*.png"):
        ImageOps.invert(Image.open(file).convert("L")).save(file)
    call = ["model=gap", "model.stages=[[2],[3]]", "trainer=cpu", "figures=false", "data=folder", "data.root=pets"]
    assert cli(*call, "debug=one_batch", "hydra.run.dir=run") == 0
    assert cli("run_dir=run", "out=page.html", "open=false", main=demo.main) == 0
    assert '"preparation": "resize", "light": true' in (tmp_path / "page.html").read_text()


MEASURED = {
    "WithTest": "40 test images: ",
    "TestsNothing": "40 validation images: ",
    "TestsOnImagesAlone": "40 validation images: ",
    "TestsNoLoader": "40 validation images: ",
    "TestsInTwoParts": "80 test images: ",
    "EndlessAlone": "1,000 training images: ",
}


def let_test(config):
    """Of data that no training can be tested with: else an export would not look at their test images."""
    config.write_text(config.read_text().replace("test: never", "test: once"))


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.slow
def test_a_net_trained_on_a_data_module_of_ones_own_goes_elsewhere(cli, own, capsys, tmp_path, monkeypatch, name):
    monkeypatch.setattr(loaders, "MOST_READ", 1000)
    limits = ["test=never", "trainer.limit_train_batches=4"] if name != "WithTest" else []
    assert cli(*OWN_DATA, f"data._target_=my_data.{name}", "data.kind=uint8", *limits) == 0
    let_test(tmp_path / "run" / "config.yaml")
    capsys.readouterr()
    assert cli("run_dir=run", "format=c", "precision=int8", main=export.main) == 0
    assert MEASURED[name] in capsys.readouterr().out
    assert f"| data | {name}" in (tmp_path / "run" / "export" / "c_int8" / "model_card.md").read_text()


def test_an_export_sees_what_the_hooks_of_a_data_module_make_of_images(cli, own, tmp_path):
    assert cli(*OWN_DATA, "data._target_=my_data.Inverts", "data.kind=uint8") == 0
    assert cli("run_dir=run", "format=torch", main=export.main) == 0
    first = json.loads((tmp_path / "run" / "export" / "torch" / "test_vector.json").read_text())["images"][0]
    data = sys.modules["my_data"].Digits(40, kind="uint8")
    data.setup("test")
    assert first["pixels"] == (255 - data.images.tensors[0][0]).flatten().tolist()


def test_images_that_are_no_pixels_are_not_exported(cli, own, capsys):
    assert cli(*OWN_DATA, "data._target_=my_data.WithTest", "data.kind=float32") == 0
    for words, main in ((["format=onnx"], export.main), (["open=false"], demo.main)):
        assert cli("run_dir=run", *words, main=main) == 2
        said = capsys.readouterr().err
        assert "WithTest: test images from 0" in said
        assert "needed: pixels from 0 to 1, or bytes" in said


def test_what_breaks_in_a_loader_of_ones_own_is_told_by_its_line(cli, own, capsys, tmp_path):
    assert cli(*OWN_DATA, "data._target_=my_data.Breaks", "data.kind=uint8", "test=never") == 0
    let_test(tmp_path / "run" / "config.yaml")
    assert cli("run_dir=run", "format=onnx", main=export.main) == 1
    said = capsys.readouterr().err
    assert "in your own code; test_dataloader of Breaks could not be read" in said
    assert "no disk in drive A" in said


@pytest.mark.parametrize("name", ["*//", "a**//b", "/*/", "/*", "*/", chr(0xDCE9)])
def test_no_name_of_a_class_ends_a_comment(name):
    text = names_of([name, "ok"])
    assert (text.count("*/"), text.count("/*")) == (1, 1)
    assert text.encode().endswith(b"*/\n")


def test_nothing_is_written_that_cannot_be(run, cli, capsys):
    path = run("model=net", "model._target_=my_nets.Res", "model.width=4")

    def refused(*words):
        assert cli(*words, main=export.main) == 2
        return capsys.readouterr().err

    assert "format=c cannot express Res: it is no sequence of layers" in refused(f"run_dir={path}", "format=c")
    assert "format = None: must be 'onnx' or 'torch' or 'c' or 'web'" in refused(f"run_dir={path}")
    assert "run_di: unknown key; did you mean 'run_dir'?" in refused(f"run_di={path}")
    assert "did you mean 'onnx'?" in refused(f"run_dir={path}", "format=onx")
    assert "int8 is for format=c" in refused(f"run_dir={path}", "format=torch", "precision=int8")
    assert "give either run_dir" in refused("format=onnx")
    both = refused()
    assert "give either run_dir" in both
    assert "format = None: must be" in both
    assert "give either" not in refused("run_dri=gap", "format=c")
    near = path.with_name(f"{path.name}x")
    hints = {
        f"run_dir={near}": f"not a run directory: no such folder; did you mean '{path}'?",
        f"run_dir={path}/checkpoints": f"(no config.yaml); it lies in one: did you mean '{path}'?",
        f"checkpoint={path}": f"a folder; for a run directory: run_dir={path}",
        f"{path}": f"expected key=value, such as run_dir={path}",
        f"{path}/checkpoints/last.ckpt": f"such as checkpoint={path}/checkpoints/last.ckpt",
        "gap": "gap: expected key=value, such as run_dir=gap",
        "run_dir=": "run_dir = '': is empty; must be text, or left out",
        "force=yes": "force = 'yes': must be true or false; did you mean 'true'?",
        "force=flase": "force = 'flase': must be true or false; did you mean 'false'?",
    }
    for word, words in hints.items():
        assert words in refused(word, "format=c")
    assert not (path / "export").exists()
    assert cli(f"run_dir={path}", "format=torch", main=export.main) == 0
    capsys.readouterr()
    first = (path / "export" / "torch" / "net.pt2").stat().st_mtime_ns
    words = "net.pt2: is there already; force=true overwrites it"
    assert words in refused(f"run_dir={path}", "format=torch")
    assert (path / "export" / "torch" / "net.pt2").stat().st_mtime_ns == first
    assert cli(f"run_dir={path}", "format=torch", "force=true", main=export.main) == 0
    assert (path / "export" / "torch" / "net.pt2").stat().st_mtime_ns != first


def test_an_export_that_is_not_the_net_is_refused(run, cli, capsys, monkeypatch):
    path = run("model=gap", "model.stages=[[2],[3]]")
    monkeypatch.setitem(translate.MAKERS, BatchNorm2d, lambda *_: "")
    for form in ("c", "web") if shutil.which("node") else ("c",):
        assert cli(f"run_dir={path}", f"format={form}", main=export.main) == 2
        assert f"format={form} does not say what the net says: 100 test images: " in capsys.readouterr().err
    assert not (path / "export").exists()


def test_a_page_needs_nothing_beside_it(cli, capsys, tmp_path):
    assert cli("open=false", "out=page.html", main=demo.main) == 0
    assert "open it in a browser: " in capsys.readouterr().out
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 500_000
    assert not re.search(r"@[A-Z]+@|https?://|\bfetch\(|XMLHttpRequest|<script src|<link (?!rel=\"icon\")", text)
    assert cli("open=false", "out=page.html", main=demo.main) == 0  # ours is replaced
    (tmp_path / "page.html").write_text("mine")
    capsys.readouterr()
    assert cli("open=false", "out=page.html", main=demo.main) == 2
    assert "no page of ours" in capsys.readouterr().err
    assert cli("open=false", "out=", main=demo.main) == 2
    assert "out = ''" in capsys.readouterr().err
    assert cli("run_dri=gap", main=demo.main) == 2
    assert "did you mean 'run_dir'?" in capsys.readouterr().err
