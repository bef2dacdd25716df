"""Whether kept figures and pages still stand, and whether a short run of each document repeats."""

import filecmp
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mnist_cnn.reproduce.pages import write_pages
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import Document, Entry, StudyRun
from mnist_cnn.reproduce.verdicts import Comparison
from mnist_cnn.runs.provenance import is_shallow, unsound
from mnist_cnn.runs.record import known

CHECKOUT = Path(__file__).parents[2]
# A net of each document for ten steps: what its figures are says nothing, that they repeat says that nothing in the
# way from the settings to the figures has changed.
SHORT = {
    "squeezed": ["squeeze_8", "optimizer=adam_keras"], "sigmoid": ["conv1_sigmoid"], "five_models": ["model_5"],
    "ablation": ["baseline"], "under_15k": ["vanilla_10k"],
}  # fmt: skip
STEPS = ["speed=plain", "trainer.max_epochs=1", "trainer.limit_train_batches=10"]
FIGURES = ("train/loss", "test/loss", "test/acc")


def short_entries(documents: Sequence[Document]) -> list[Entry]:
    """The short run of each document."""
    named = [(one.name, *SHORT[one.name]) for one in documents if one.name in SHORT]
    return [Entry(name, "short", f"{name}/{net}", [*own, *STEPS]) for name, net, *own in named]


def provenance() -> dict[str, list[str]]:
    """What does not stand in the checkout's results; nothing where git does not tell."""
    return {} if is_shallow(CHECKOUT) else unsound(CHECKOUT)


def changed_pages(documents: Sequence[Document], results: Results, pages: Path, pictures: bool = True) -> list[str]:
    """Files of the pages that the figures would make otherwise, or not at all, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        anew = Path(folder) / "pages"
        anew.mkdir()
        for page in pages.glob("*.md"):
            shutil.copy(page, anew)
        write_pages(documents, results, anew, pictures)
        names = {str(file.relative_to(root)) for root in (pages, anew) for file in root.rglob("*") if file.is_file()}
        names -= {name for name in names if name.endswith(".png") and not pictures}
        same = {name for name in names if (pages / name).is_file() and (anew / name).is_file()}
        same = {name for name in same if filecmp.cmp(pages / name, anew / name, shallow=False)}
    return [f"{pages / name}: not what the figures make" for name in sorted(names - same)]


def differences(runs: Sequence[StudyRun], kept: Results, fresh: Results) -> list[str]:
    """What a run says otherwise than its record: at all, by the same PyTorch on the same kind of processor, or outside
    the 95 % interval that the recorded seeds give for one more.
    """
    found = []
    for run in runs:
        now, then = fresh.of(run), kept.of(run)
        if now is None or then is None:
            continue
        made_by = [(known(one.versions)["torch"], known(one.hardware).cpu) for one in (now, then)]
        same = made_by[0] == made_by[1]
        if same and now.outcome != then.outcome:
            found.append(f"{run}: not bit for bit what was recorded")
        seeds = list(kept.all_of(run.entry, run.protocol).values())
        for name in () if same else FIGURES:
            one = Comparison([seed.results[name] for seed in seeds], now.results[name])
            if not one.within:
                found.append(f"{run}: {name} {one.reported:.4f}, recorded {one.ours.text(4)}")
    return found
