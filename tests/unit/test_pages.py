"""The pages of a reproduction."""

import pytest
from test_study import finished

from mnist_cnn.reproduce.claim_plots import PICTURES
from mnist_cnn.reproduce.claims import claims
from mnist_cnn.reproduce.pages import refresh, write_pages
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import Document, Entry, documents, plan


def test_refreshing_a_page_keeps_what_a_person_wrote(tmp_path):
    page = tmp_path / "page.md"
    refresh(page, "# Title\n", "old table\n")
    page.write_text("intro\n" + page.read_text() + "conclusion\n")
    refresh(page, "# Title\n", "new table\n")
    text = page.read_text()
    assert "old table" not in text
    assert text.startswith("intro\n# Title\n")
    assert text.endswith("conclusion\n")
    assert text.index("Title") < text.index("new table") < text.index("conclusion")


def test_pages_hold_the_figures_of_the_files(tmp_path):
    told = {"reported": {"acc": 0.9903, "loss": 0.0277}, "confusion": [[9, *[1] * 9], *[[1] * 10] * 9]}
    entry = Entry("ablation", "baseline", "ablation/baseline", **told)
    document = Document("ablation", "003_x.txt", "Ablation", [entry])
    results = Results(tmp_path / "results")
    for run, accuracy in zip(plan([entry], 2, "document"), (0.990, 0.992), strict=True):
        finished(results, run, accuracy)
    finished(results, plan([entry], 1, "holdout")[0], 0.989)
    (tmp_path / "results/ablation/baseline/document/seed_3.json").write_text(
        '{"status": "completed", "seed": 3, "numerics": 0}'
    )
    stale = tmp_path / "pages/figures/ablation_of_before_confusion.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (own := stale.with_name("of_mine.png")).touch()
    write_pages([document], results, tmp_path / "pages")
    assert not stale.exists()
    assert own.exists()
    page = (tmp_path / "pages" / "ablation.md").read_text()
    assert "| baseline | 99.03 | 99.10 ± 0.14 | 99.00–99.20 | 2 | 96.90–100.00 | 0.755 | 1.000 | undecided" in page
    # the disturbed third epoch of 900 s counts as one of 12 s
    assert "| baseline | 4,738,826 |  | 99.20 ± 0.14 | 99.00 ± 0.00 | 0.00 |  | 36 |" in page
    assert "| baseline | 99.10 ± 0.14 | 99.20 ± 0.14 | 2 | 98.90 | 1 | +0.30 |  |" in page
    for name in ("ablation", "ablation_curves", "ablation_baseline_confusion"):
        assert (tmp_path / "pages" / "figures" / f"{name}.png").stat().st_size > 5000
        assert f"figures/{name}.png" in page
    assert "`baseline`, n = 2: outside the 95 % interval for one more seed: 0, right." in page
    assert "| baseline | 3 |  | 0.2000 ± 0.0000 | 0.0277 | 0.2000 ± 0.0000 | 0.2000–0.2000 |" in page
    overview = (tmp_path / "pages" / "README.md").read_text()
    assert "| 003: Ablation | 0 | 0 | 0 | 1 | 0 | 0 | 0.8 |" in overview
    assert "- By the documents' protocol: 2 of 5: `baseline`.\n- Held out: 1 of 3: `baseline`.\n" in overview
    head, first, *_ = (tmp_path / "pages/summary.csv").read_text().splitlines()
    values = dict(zip(head.split(","), first.split(","), strict=True))
    assert (values["verdict"], float(values["acc_mean"]), values["n"]) == ("undecided", pytest.approx(0.991), "2")


def test_pages_say_how_far_the_test_figures_move(tmp_path):
    entry = Entry("ablation", "baseline", "ablation/baseline")
    results = Results(tmp_path / "results")
    for run, shift in zip(plan([entry], 2, "document"), (0.0, 0.02), strict=True):
        finished(results, run, 0.99)
        lines = ["epoch,train/loss,train/acc,val/loss,val/acc,seconds"]
        for epoch in range(1, 17):  # up and down by one point, in the later half by half a point; loss least in 6 to 10
            accuracy = 0.9 + (0.01 if epoch < 9 else 0.005) * (epoch % 2)
            loss = 0.2 + shift + 0.01 * abs(epoch - 8)
            lines.append(f"{epoch},0.1,0.99,{loss},{accuracy},10")
        results.file(run).with_suffix(".csv").write_text("\n".join(lines) + "\n")
    write_pages([Document("ablation", "003_x.txt", "Ablation", [entry])], results, tmp_path)
    assert "| 99.00 ± 0.00 | 0.50 | 0.2220, 0.2700 | 160 |" in (tmp_path / "ablation.md").read_text()


def test_a_difference_that_rounds_to_zero_has_no_minus(tmp_path):
    entry = Entry("ablation", "baseline", "ablation/baseline")
    results = Results(tmp_path / "results")
    finished(results, plan([entry], 1, "document")[0], 0.990)
    finished(results, plan([entry], 1, "holdout")[0], 0.99104)
    write_pages([Document("ablation", "003_x.txt", "Ablation", [entry])], results, tmp_path / "pages")
    assert "| baseline | 99.00 | 99.10 | 1 | 99.10 | 1 | +0.00 |  |" in (tmp_path / "pages" / "ablation.md").read_text()


@pytest.mark.parametrize(
    ("watched", "held_out", "told"),
    [
        ((0.990, 0.992), (0.988, 0.990), "+0.30 | -0.31 to +0.91"),  # t 4.303 times a standard error of 0.141
        ((0.1134, 0.1134), (0.1135, 0.1135), "+0.09 | "),  # nets that do not train have no spread
    ],
)
def test_what_watching_flatters_by_has_the_interval_of_two_groups(tmp_path, watched, held_out, told):
    entry = Entry("ablation", "baseline", "ablation/baseline")
    results = Results(tmp_path / "results")
    for protocol, accuracies in (("document", watched), ("holdout", held_out)):
        for run, accuracy in zip(plan([entry], 2, protocol), accuracies, strict=True):
            finished(results, run, accuracy)
    write_pages([Document("ablation", "003_x.txt", "Ablation", [entry])], results, tmp_path / "pages")
    assert f"| {told} |" in (tmp_path / "pages" / "ablation.md").read_text()


def test_pages_hold_the_printed_log_against_ours(tmp_path):
    cut_off = None
    losses = {"train/loss": [cut_off, 0.31, 0.21], "val/loss": [0.35, 0.2001, 0.15]}
    printed = {**losses, "val/acc": [0.95, 0.992, 0.99]}
    entry = Entry("ablation", "baseline", "ablation/baseline", printed=printed)
    results = Results(tmp_path / "results")
    for run in plan([entry], 2, "document"):
        finished(results, run, 0.99)
    write_pages([Document("ablation", "003_x.txt", "Ablation", [entry])], results, tmp_path)
    page = (tmp_path / "ablation.md").read_text()
    assert "| baseline | 4,738,826 | 99.20 | 99.10 ± 0.00 |" in page  # the document's best epoch against ours
    assert "| baseline | 2 | 0 of 2 | 1 of 3 |" in page  # seeds alike, so that 0.31 is not 0.3
    assert "| baseline | 1 |  | 0.5000 ± 0.0000 | 0.3500 | 0.4000 ± 0.0000 | 0.4000–0.4000 |" in page
    assert "| baseline | 3 | 0.2100 | 0.2000 ± 0.0000 | 0.1500 | 0.2000 ± 0.0000 | 0.2000–0.2000 |" in page


def test_a_claim_has_a_table_with_the_difference_seed_by_seed(tmp_path):
    entries = [Entry("under_15k", name, f"under_15k/{name}") for name in ("vanilla_10k", "vanilla_49k")]
    results = Results(tmp_path / "results")
    for entry, better in zip(entries, (0, 0.002), strict=True):
        for run in plan([entry], 6, "document"):
            finished(results, run, 0.98 + 0.0001 * run.seed + better)
    write_pages([Document("under_15k", "004_x.txt", "Small", entries)], results, tmp_path)
    page = (tmp_path / "under_15k.md").read_text()
    assert '"pretty much similar result' in page
    assert "+0.20 | +0.20 to +0.20 | 0.031 |" in page  # of six pairs all one way: 2/64
    assert "Batch norm, dropout" not in page  # nothing has run for that claim


def test_claims_name_nets_of_their_document():
    names = {document.name: {entry.name for entry in document.entries} for document in documents()}
    for document, found in claims().items():
        for claim in found:
            assert {*claim.nets, claim.against or claim.nets[0]} <= names[document], claim.title
            assert claim.picture is None or claim.picture in PICTURES


def test_printed_confusion_matrices_give_the_reported_accuracy():
    told = [entry for document in documents() for entry in document.entries if entry.confusion]
    assert len(told) == 2
    for entry in told:
        assert sum(map(sum, entry.confusion)) == 10_000
        assert sum(row[i] for i, row in enumerate(entry.confusion)) == 10_000 * entry.reported["acc"]


def test_a_document_of_which_nothing_has_run_has_a_page_without_pictures(tmp_path):
    write_pages(documents(), Results(tmp_path / "none"), tmp_path / "pages")
    pages = {page.name for page in (tmp_path / "pages").glob("*.md")}
    assert pages == {"README.md", "verdicts.md", *(f"{document.name}.md" for document in documents())}
    assert "![" not in (tmp_path / "pages" / "ablation.md").read_text()
