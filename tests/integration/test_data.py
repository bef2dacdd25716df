"""Own data and protocols through the commands: trained, resumed, swept, predicted, and what the records say."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import metrics_of
from own_data import bars, table, write_all
from PIL import Image

import mnist_cnn as mc
import mnist_cnn.demo.__main__ as demo
import mnist_cnn.export.__main__ as export
import mnist_cnn.inspect.__main__ as inspect
import mnist_cnn.search.__main__ as search
from mnist_cnn import evaluate, validate
from mnist_cnn.data import datamodule
from mnist_cnn.errors import UserError
from mnist_cnn.runs.directory import Run

FAST = ["model=sequential", "trainer=cpu", "figures=false", "data.batch_size=16"]


@pytest.fixture(scope="module")
def pets(tmp_path_factory) -> Path:
    """All three kinds of one data set in one folder."""
    root = tmp_path_factory.mktemp("pets")
    write_all(root)
    return root


def without_times(run: Run) -> list[dict]:
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in run.history()]


@pytest.mark.parametrize("kind", ["folder", "csv", "arrays"])
def test_each_kind_trains_resumes_bit_for_bit_and_predicts(pets, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    own = [*FAST, f"data={kind}", f"data.root={pets}", "data.balanced=true", "data.fraction=0.5"]
    whole = mc.fit(*own, "trainer.max_epochs=2")
    half = mc.fit(*own, "trainer.max_epochs=1")
    again = mc.fit(f"resume={half.run.path}", "trainer.max_epochs=2")
    assert without_times(again.run) == without_times(whole.run)
    assert again.figures == whole.figures
    protocol = metrics_of(whole.run)["protocol"]
    assert (protocol["dataset"], protocol["fraction"], protocol["balanced"]) == (pets.name, 0.5, True)
    images, _ = bars(20)
    assert np.array_equal(mc.load(whole.run.path).predict(images), whole.model.predict(images))
    if kind == "csv":  # its test images have no labels
        assert (protocol["test"], whole.figures["test/acc"]) == ("unlabelled", None)
        first, second = ((each.run.path / "submission.csv").read_text() for each in (whole, again))
        rows = list(csv.DictReader(first.splitlines()))
        assert [row["ImageId"] for row in rows] == [str(i) for i in range(1, 41)]
        predicted = whole.model.predict(bars(40, seed=1)[0])
        assert [row["Label"] for row in rows] == [str(label) for label in predicted]
        assert first == second
    else:
        assert protocol["test"] == "once"
        assert whole.run.predictions_file.is_file()


def test_a_submission_is_made_again_by_evaluate_and_said_where(pets, cli, capsys, tmp_path):
    assert cli(*FAST, "data=csv", f"data.root={pets}", "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    assert "submission.csv" in capsys.readouterr().out
    (tmp_path / "run" / "submission.csv").unlink()
    assert cli("run_dir=run", main=evaluate.main) == 0
    assert str(Path("run") / "submission.csv") in capsys.readouterr().out
    assert (tmp_path / "run" / "submission.csv").is_file()
    (tmp_path / "run" / "submission.csv").unlink()
    assert cli("checkpoint=run/checkpoints/last.ckpt", main=evaluate.main) == 0
    assert (tmp_path / "run" / "submission.csv").is_file()


def test_a_run_that_never_reads_the_test_images(tiny_overrides, cli, capsys, tmp_path, monkeypatch):
    from mnist_cnn.data.datamodule import MNISTDataModule

    read = MNISTDataModule.read
    splits = []

    def watched(self, split):
        splits.append(split)
        return read(self, split)

    monkeypatch.setattr(MNISTDataModule, "read", watched)
    assert cli(*FAST, *tiny_overrides, "test=never", "trainer.max_epochs=1", "hydra.run.dir=run", "figures=true") == 0
    assert splits == ["train"]
    printed = capsys.readouterr().out
    assert "test images never read" in printed
    run = Run(tmp_path / "run")
    metrics = metrics_of(run)
    assert metrics["protocol"]["test"] == "never"
    assert not [name for name in metrics["figures"] if name.startswith("test/")]
    assert "confusion" not in metrics
    assert {file.name for file in run.path.glob("*.png")} == {"curves.png", "samples.png"}
    assert cli("run_dir=run", main=evaluate.main) == 0  # asked for by name, it tests all the same
    assert splits == ["train", "test"]
    assert "test accuracy" in capsys.readouterr().out


def test_without_validation_the_last_epoch_is_tested(tiny_overrides, cli, capsys, tmp_path):
    no = [*FAST, *tiny_overrides, "data.validation_size=0"]
    assert cli(*no, "trainer.max_epochs=2", "hydra.run.dir=run") == 0
    run = Run(tmp_path / "run")
    metrics = metrics_of(run)
    assert (metrics["test_weights"], metrics["test_epoch"], metrics["protocol"]["train_images"]) == ("last", 2, 320)
    assert "no validation" in metrics["protocol"]["summary"]
    assert metrics["figures"]["best_epoch"] is None
    assert not [name for row in run.history() for name in row if name.startswith("val/")]
    assert cli(*no, "trainer.max_epochs=1", "hydra.run.dir=half") == 0
    assert cli("resume=half", "trainer.max_epochs=2") == 0
    assert without_times(Run(tmp_path / "half")) == without_times(run)
    capsys.readouterr()
    watching = "callbacks=[checkpoint,early_stopping]"
    assert cli(*no, watching, main=validate.main) == 2
    assert "no image validates (data.validation_size=0); watch train/loss" in capsys.readouterr().err
    chosen = ["callbacks.checkpoint.monitor=train/loss", "callbacks.checkpoint.mode=min"]
    assert cli(*no, *chosen, main=validate.main) == 0  # something else may choose


def test_folds_are_summed_up_like_seeds_and_do_not_test(tiny_overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    swept = ["model.activation=relu,tanh", "data.fold=0,1", "data.folds=2", "debug=one_batch", "jobs=2"]
    rows = mc.fit_many(*FAST, *tiny_overrides, *swept)
    assert sorted(row["data.fold"] for row in rows) == [0, 0, 1, 1]
    assert {row["test_acc"] for row in rows} == {None}
    [summary] = tmp_path.rglob("summary.md")
    text = summary.read_text()
    groups = [line for line in text.partition("## Over")[2].splitlines() if line.startswith(("| relu", "| tanh"))]
    assert len(groups) == 2
    assert all(f"| {model} | 2 |" in "".join(groups) for model in ("relu", "tanh"))
    assert "no job read the test images" in text
    assert "interval over them is too narrow" in text
    assert "not distinguishable" not in text
    assert Run(Path(rows[0]["directory"])).record().protocol.val_images == 160


@pytest.mark.slow
def test_data_of_each_kind_are_swept(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    swept = ["data=folder,csv,arrays", "seed=1,2", f"data.root={pets}", "debug=one_batch", "jobs=2"]
    rows = mc.fit_many(*FAST, *swept)
    assert {(row["data"], row["seed"]) for row in rows} == {(k, n) for k in ("arrays", "csv", "folder") for n in (1, 2)}
    assert all(0 <= row["val_acc"] <= 1 for row in rows)
    assert [row["test_acc"] is None for row in rows] == [row["data"] == "csv" for row in rows]


def test_a_net_for_another_number_of_classes_is_refused_before_there_is_a_run(cli, capsys, tmp_path, monkeypatch):
    for name in ("cat", "dog", "owl"):
        (tmp_path / "pets" / name).mkdir(parents=True)
    images, labels = bars(30)
    (tmp_path / "three.csv").write_text(table(images, labels % 3))
    np.savez(tmp_path / "three.npz", images=images, labels=labels % 3)
    kinds = ["folder data.root=pets", "csv data.train=three.csv", "arrays data.train=three.npz"]
    for kind in [*kinds, "arrays data.class_names=[a,b,c]", "emnist_letters"]:
        call = ["model=sequential", *f"data={kind}".split()]
        assert cli(*call) == 2, kind
        [said] = capsys.readouterr().err.splitlines()
        assert "the last layer gives 10; needed: " in said
    assert cli("model=sequential", "data=csv", "data.train=three.csv", main=validate.main) == 2
    assert not (tmp_path / "runs").exists()
    (tmp_path / "three.csv").write_text(table(images, labels))  # read anew
    assert cli("model=sequential", "data=csv", "data.train=three.csv", main=validate.main) == 0


def test_arrays_from_python_are_kept_for_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = bars(60, 40, 40)
    result = mc.fit(*FAST, "trainer.max_epochs=1", data=((images, labels), (images[:20], labels[:20])))
    assert len(list((tmp_path / "runs" / "arrays").glob("*.npz"))) == 2
    assert mc.fit(f"resume={result.run.path}", "trainer.max_epochs=2").record.epochs == 2
    assert result.record.protocol.test_images is None or result.record.protocol.test_images == 20


def test_arrays_of_a_refused_sweep_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="widht"):
        mc.fit_many(*FAST, "model.widht=4", data=bars(60), seed=[1, 2])
    assert not list(tmp_path.rglob("*.npz"))


def test_arrays_that_are_only_checked_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mc.check(*FAST, data=bars(60))
    assert not list(tmp_path.rglob("*.npz"))


def test_a_table_of_floats_above_one_is_no_table_of_greys(cli, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = bars(60)
    shares = images.reshape(60, -1) / images.max() * 1.2
    np.savetxt("train.csv", np.column_stack([labels, shares]), delimiter=",", fmt="%.4f")
    assert cli(*FAST, "data=csv", "data.train=train.csv", "trainer.max_epochs=1") == 2
    assert "1.2" in capsys.readouterr().err


@pytest.fixture
def of_arrays(tmp_path, monkeypatch) -> Run:
    """An epoch on train.npz of the working folder, 60 bars."""
    monkeypatch.chdir(tmp_path)
    images, labels = bars(60)
    np.savez("train.npz", images=images, labels=labels)
    return mc.fit(*FAST, "data=arrays", "trainer.max_epochs=1").run


def test_images_that_lie_beside_later_change_no_run(of_arrays, cli, capsys):
    """Nor do those that an earlier version passed over, whose configurations do not know `data.val`."""
    run, record = of_arrays, of_arrays.record()
    images, labels = bars(30)
    np.savez("val.npz", images=images, labels=labels)
    assert cli(f"resume={run.path}", "trainer.max_epochs=2") == 2
    words = "50 training images, of 40 when it began and 30 validation images, of 10 when it began"
    assert words in capsys.readouterr().err
    config = run.config_file.read_text()
    assert "\n  val: null\n" in config
    run.config_file.write_text(config.replace("\n  val: null\n", "\n"))
    assert mc.evaluate_run(run.path)["test/acc"] == pytest.approx(record.results.test_acc)
    assert run.config().data.val is False
    other = mc.fit(*FAST, "data=arrays", "data.val=false", "trainer.max_epochs=1").run
    assert other.record().protocol.val_images == record.protocol.val_images
    run.metrics_file.write_text("{")
    assert "test/acc" in mc.evaluate_run(run.checkpoint("last"))


def test_images_that_changed_are_no_images_to_go_on_with(of_arrays, cli, capsys):
    images, labels = bars(60)
    run, before = of_arrays, of_arrays.record()
    np.savez("train.npz", images=images, labels=np.roll(labels, 1))
    assert cli(f"resume={run.path}", "trainer.max_epochs=2") == 2
    assert "train images or their labels have changed since it began; a run cannot go on" in capsys.readouterr().err
    assert run.record().results == before.results
    np.savez("train.npz", images=images, labels=labels)
    assert cli(f"resume={run.path}", "trainer.max_epochs=2") == 0
    assert run.record().protocol.images == before.protocol.images


def test_predictions_say_which_image_they_are_of(tmp_path, monkeypatch):
    """Also where parts were put aside for validation and the test."""
    monkeypatch.chdir(tmp_path)
    write_all(tmp_path)
    (tmp_path / "train" / "class_3" / "003.png").rename(tmp_path / "train" / "class_3" / 'a, "b".png')
    for kind in ("folder", "arrays"):
        options = [f"data.root={tmp_path}", "data.test=null", "data.validation_size=0.2"]
        if kind == "arrays":
            (tmp_path / "test.npz").unlink()
        run = mc.fit(*FAST, f"data={kind}", "trainer.max_epochs=1", *options).run
        seen = []
        for split in ("test", "val"):
            rows = list(csv.DictReader(run.predictions_of(split).read_text().splitlines()))
            assert [row["image"] for row in rows] == [str(number) for number in range(len(rows))]
            for row in rows:
                if kind == "folder":
                    assert (tmp_path / row["source"]).is_file()
                    assert f"class_{row['label']}" == row["label_name"] == row["source"].split("/")[1]
                    assert row["predicted_name"] == f"class_{row['predicted']}"
                else:
                    assert int(row["source"]) % 10 == int(row["label"])
                    assert "label_name" not in row  # the classes are their numbers
                seen.append(row["source"])
        assert len(set(seen)) == len(seen) > 20


@pytest.mark.parametrize(
    ("labels", "words", "told"),
    [
        (np.zeros(60, int), [], "1 classes"),
        (np.arange(60) % 3 - 1, [], "label -1"),
        (np.arange(59) % 10, [], "59 labels for 60 images"),
        (np.arange(60) % 3, ["model=gpa"], "model=gpa"),
        (np.arange(60) % 3, ["data.class_names=[a,b]"], "has only 2 names"),
    ],
)
def test_arrays_that_are_refused_leave_no_file(tmp_path, monkeypatch, labels, words, told):
    monkeypatch.chdir(tmp_path)
    images, _ = bars(60)
    for ask in (mc.fit, mc.check):
        with pytest.raises(UserError, match=told):
            ask(*(words or FAST), "trainer.max_epochs=1", data=(images, labels))
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(
    "recipe",
    [
        ["model=sequential", "model.layers=[flatten,{dense:3}]", "metrics=f1"],
        ["model=vanilla", "model.class_weights=[1,1,2]", "augment._target_=torchvision.transforms.v2.CutMix"],
    ],
)
def test_three_classes(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = bars(60)
    result = mc.fit(*FAST, *recipe, "trainer.max_epochs=1", data=(images, labels % 3))
    assert np.array(result.record.confusion).shape == (3, 3)
    assert set(mc.load(result.run.path).predict(images).tolist()) <= {0, 1, 2}
    before, after = result.model.read(images[1]), mc.load(result.run.path).read(images[1])
    assert (before.name, before.probability) == (after.name, pytest.approx(after.probability))
    np.testing.assert_array_equal(before.image, images[1])  # of images that lie anywhere, so as it is
    assert before.name in ("0", "1", "2")


BAD = {
    "fold out of range": (["data.fold=5"], ["data.fold = 5: must be 0 to 4, since data.folds = 5"]),
    "one fold": (["data.folds=1"], ["data.folds = 1", ">= 2"]),
    "fold of the test images": (
        ["data.fold=1", "data.validate_on=test"],
        ["data.fold = 1", "data.validate_on=holdout"],
    ),
    "never, but watched": (["test=never", "data.validate_on=test"], ["test = 'never'", "data.validate_on=holdout"]),
    "unknown test": (["test=nevr"], ["test = 'nevr'", "'never'"]),
    "nothing left": (["data.fraction=0"], ["data.fraction = 0", "(0, 1]"]),
    "all for validation": (["data.validation_size=1.5"], ["data.validation_size = 1.5", "(0, 1)"]),
    "imbalance below one": (["data.imbalance=0.5"], ["data.imbalance = 0.5", ">= 1"]),
    "shares for other classes": (["data=fashion_mnist", "data.imbalance=[1,0.5]"], ["2 shares for 10 classes"]),
    "unknown preparation": (["data.prepare=sqeeze"], ["'sqeeze'", "resize"]),
    "unknown kind": (["data=foldr"], ["data=foldr", "did you mean 'folder'"]),
    "digest of no file": (["++data.md5.foo=abc"], ["data.md5", "'foo'"]),
    "no module named": (["data=own"], ["data._target_ = None"]),
    "no data module": (["data=own", "data._target_=torch.nn.Linear"], ["must be a LightningDataModule"]),
    "plateau without validation": (
        ["data.validation_size=0", "callbacks.checkpoint.monitor=val/loss", "callbacks.checkpoint.mode=min"],
        ["callbacks.checkpoint.monitor = 'val/loss': no image validates"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_protocol_that_cannot_be_is_refused(cli, capsys, name):
    arguments, said = BAD[name]
    assert cli(*arguments, main=validate.main) == 2
    message = capsys.readouterr().err
    assert all(words in message for words in said), message


def test_a_search_needs_validation_and_does_not_test(cli, tiny_overrides, capsys, tmp_path):
    call = [*FAST, *tiny_overrides, "debug=one_batch", "trials=1", "space.data=null", "prune=false"]
    assert cli(*call, "data.validation_size=0", main=search.main) == 2
    assert "a search needs validation to choose by" in capsys.readouterr().err
    assert cli(*call, main=search.main) == 0
    [metrics] = tmp_path.rglob("metrics.json")
    assert Run(metrics.parent).record().protocol.test == "never"


def test_data_of_other_classes_are_refused(cli, tmp_path, capsys, monkeypatch):
    """Labels are numbers in order of the classes, so figures of others would be false, or an index out of range."""
    images, _ = bars(30)
    for folder, names in {"ours": "358", "fewer": "58", "others": "129", "more": "13589"}.items():
        for i, image in enumerate(images):
            (place := tmp_path / folder / names[i % len(names)]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i}.png")
    call = ["model=gap", *FAST[1:], "data=folder", "data.root=ours"]
    assert cli(*call, "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    assert cli("run_dir=run", "data_root=ours", main=evaluate.main) == 0
    shutil.copy("run/checkpoints/last.ckpt", "lone.ckpt")
    monkeypatch.setattr(datamodule, "prepare", lambda *_: None)  # no MNIST is needed to refuse it
    reading = {evaluate.main: [], inspect.main: [], export.main: ["format=torch"]}
    calls = [(evaluate.main, ["run_dir=run", f"data_root={name}"]) for name in ("fewer", "more")]
    calls += [(main, ["run_dir=run", "data_root=others", *more]) for main, more in reading.items()]
    lone = ["checkpoint=lone.ckpt", "data_root=others"]
    calls += [(main, [*lone, *more]) for main, more in reading.items()]
    capsys.readouterr()
    for main, arguments in calls:
        assert cli(*arguments, main=main) == 2, (arguments, main)
        error = capsys.readouterr().err
        assert "tells 3 classes apart" in error
        assert len(error.splitlines()) == 1
    for main, more in [*reading.items(), (demo.main, [])]:
        assert cli("checkpoint=lone.ckpt", *more, main=main) == 2
        assert "lone.ckpt: a checkpoint alone does not say where the images" in capsys.readouterr().err
    assert not (tmp_path / "draw.html").exists()


def test_another_number_of_classes_goes_through_everything(cli, tmp_path, capsys):
    images, labels = bars(60)
    np.savez(tmp_path / "three.npz", images=images, labels=labels % 3)
    call = [
        "model=gap",
        "trainer=cpu",
        "figures=true",
        "data=arrays",
        "data.train=three.npz",
        "data.class_names=[cat,dog,owl]",
    ]
    assert cli(*call, "data.batch_size=16", "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    assert "3 classes" in capsys.readouterr().out
    metrics = metrics_of(Run(tmp_path / "run"))
    assert metrics["protocol"]["class_names"] == ["cat", "dog", "owl"]
    assert np.array(metrics["confusion"]).shape == (3, 3)
    assert set(mc.load(tmp_path / "run").predict(images).tolist()) <= {0, 1, 2}
    assert {"confusion.png", "samples.png"} <= {file.name for file in (tmp_path / "run").glob("*.png")}
    assert cli("run_dir=run", main=evaluate.main) == 0
    assert cli("run_dir=run", "untrained=true", "images=20", main=inspect.main) == 0
