"""Verdicts on figures that were made up, and how often they are wrong."""

import numpy as np
import pytest
from scipy.stats import t

from mnist_cnn.reproduce.verdicts import GOOD as GOOD_FIGURE
from mnist_cnn.reproduce.verdicts import LIMITS, Comparison, holm, judge

GOOD = [0.9930, 0.9932, 0.9934, 0.9931, 0.9933]  # sd 0.016 points: half-width 0.05
NEARLY_GOOD = [0.9880, 0.9893, 0.9902, 0.9886, 0.9892]  # sd 0.08 points: half-width 0.25
FAIR = [0.974, 0.976, 0.975, 0.973, 0.977]  # sd 0.16 points: half-width 0.48


def verdict(reported: float, values: list[float], others: int = 0):
    equals = {str(i): Comparison(GOOD, 0.9932) for i in range(others)}
    return judge({"it": Comparison(values, reported), **equals})["it"]


@pytest.mark.parametrize(
    ("reported", "ours", "word", "why"),
    [
        (0.9932, GOOD, "agrees", "± 0.05 points, allowed 0.2"),
        (0.9780, FAIR, "agrees", "± 0.48 points, allowed 1"),
        (0.9900, GOOD, "higher", "by 0.32 points"),
        (0.9960, GOOD, "lower", "by 0.28 points"),
        (0.9940, GOOD, "undecided", "0.08 points lower, which chance allows for in 1 comparisons"),  # below the margin
        (0.9903, NEARLY_GOOD, "undecided",  # the document's figure says how narrow, not our mean
         "too scattered: ± 0.25 points, allowed 0.2; the document's is above 5 of 5 seeds, which lie at 98.80–99.02 %"),
        (0.9895, NEARLY_GOOD, "agrees", "± 0.25 points, allowed 1"),
        (0.9932, GOOD[:1], "undecided", "too few seeds: 1"),
        (0.9932, GOOD[:4], "undecided", "too few seeds: 4"),  # few may lie close together by chance
        (0.9920, [0.9930, 0.9960], "undecided", "too few seeds: 2"),
        (0.88, [0.1, 0.96, 0.4, 0.97, 0.9], "undecided",
         "too scattered: ± 120.20 points, allowed 1; the document's is above 2 of 5 seeds, which lie at 10.00–97.00 %"),
        (0.1135, [0.1009, 0.1031, float(np.float32(0.1135)), 0.1135, 0.1], "undecided",  # one is equal
         "too scattered: ± 2.06 points, allowed 1; the document's is above 3 of 5 seeds, which lie at 10.00–11.35 %"),
        (0.9960, [0.9930, 0.9930], "lower", "by 0.30 points"),  # alike by chance: not without any spread
    ],
)  # fmt: skip
def test_a_verdict_and_its_reason(reported, ours, word, why):
    found = verdict(reported, ours)
    assert (found.word, found.why) == (word, why)
    assert (found.p is None, found.corrected is None) == (len(ours) == 1,) * 2


def test_the_interval_is_students_for_one_more_seed_and_p_belongs_to_it():
    one = Comparison(FAIR, 0.9780)
    low, high = t.interval(0.95, 4, loc=np.mean(FAIR), scale=np.std(FAIR, ddof=1) * np.sqrt(1.2))
    assert one.interval == pytest.approx((low, high))
    assert Comparison(FAIR, high).p() == pytest.approx(0.05)
    assert Comparison(FAIR, high + 0.001).p(0.001) == pytest.approx(0.05)


def test_more_comparisons_take_more_evidence():
    assert verdict(0.9690, FAIR).word == "higher"
    many = verdict(0.9690, FAIR, others=30)
    assert (many.word, many.why) == ("undecided", "0.60 points higher, which chance allows for in 31 comparisons")
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def five_seeds(draws):
    return Comparison(list(draws[1:6]), draws[0])


def ten_seeds_where_five_scatter(draws):
    five = five_seeds(draws)
    return five if five.half_width <= LIMITS[five.reported > GOOD_FIGURE] else Comparison(list(draws[1:]), draws[0])


@pytest.mark.parametrize(
    ("seeds", "sd", "agree"),
    [
        (
            five_seeds,
            0.02,
            (0, 0.01),
        ),  # a spread that is large against the margin; intervals this wide agree with nothing
        (ten_seeds_where_five_scatter, 0.004, (0.5, 1)),  # three in five are given five seeds more
    ],
)
def test_among_comparisons_of_equals_one_is_called_different_in_5_of_100_families_at_most(seeds, sd, agree):
    """30 documents' figures, each from the distribution of our seeds."""
    random = np.random.default_rng(2019)
    wrong = agreed = 0
    for _ in range(400):
        draws = 0.9 + sd * random.standard_normal((30, 11))
        words = [verdict.word for verdict in judge({str(i): seeds(d) for i, d in enumerate(draws)}).values()]
        wrong += bool({"higher", "lower"} & set(words))
        agreed += words.count("agrees")
    assert wrong / 400 <= 0.05
    assert agree[0] <= agreed / (400 * 30) <= agree[1]
