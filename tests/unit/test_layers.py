"""Layer lists: parameters and shapes as published, and errors that name the layer and the shapes."""

import pytest
import torch

from mnist_cnn.errors import LayerError
from mnist_cnn.models.bn_dropout import BNDropoutCNN
from mnist_cnn.models.gap import GAPCNN
from mnist_cnn.models.layers import build_sequential
from mnist_cnn.models.sequential import SequentialCNN
from mnist_cnn.models.small import SmallCNN
from mnist_cnn.models.vanilla import VanillaCNN
from mnist_cnn.report.tables import count, layer_table

OPTIONS = {"activation": "relu", "init": "pytorch", "bn_momentum": 0.1, "bn_eps": 1e-5}


@pytest.mark.parametrize(
    ("model", "total", "trainable"),
    [
        (VanillaCNN([8, 16], 10, [8, 16, 16, 16]), 10_524, 10_524),
        (VanillaCNN([16, 32], 10, [16, 32, 32, 64]), 49_220, 49_220),
        (BNDropoutCNN([12, 20], 10, [16, 16, 16, 16], dropout=0.1), 13_880, 13_688),
        (SequentialCNN([{"conv": {"filters": 32, "kernel": 5}}, "flatten", {"dense": 10}]), 185_162, 185_162),
    ],
)
def test_parameters_as_the_documents_print_them(model, total, trainable):
    assert count(model.layer_rows) == (total, trainable)
    assert sum(p.numel() for p in model.net.parameters()) == trainable


def test_shapes_in_the_table_are_those_of_the_forward_pass():
    model = BNDropoutCNN([12, 20], 10, [16, 16, 16, 16], dropout=0.1)
    x, seen = torch.zeros(2, 1, 28, 28), []
    for module in model.net.eval():
        x = module(x)
        if not isinstance(module, torch.nn.ReLU):
            seen.append(tuple(x.shape[1:]))
    assert seen == [row.output_shape for row in model.layer_rows]
    text = layer_table(model.layer_rows)
    assert "26 × 26 × 12" in text
    assert "13,880" in text


def test_logits_have_no_activation_and_the_table_order_is_the_documents():
    model = VanillaCNN([8, 16], 10, [8, 16, 16, 16])
    kinds = [type(m).__name__ for m in model.net]
    assert kinds[-2:] == ["Conv2d", "Flatten"]
    assert kinds[:7] == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]


def test_batch_norm_follows_the_activation_in_the_published_net_and_precedes_it_in_gap():
    published = [type(m).__name__ for m in BNDropoutCNN([12, 20], 10, [16] * 4, dropout=0.1).net]
    assert published[:4] == ["Conv2d", "ReLU", "BatchNorm2d", "Dropout"]
    gap = [type(m).__name__ for m in GAPCNN([[6, 8], [12]]).net]
    assert gap[:7] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"]


def test_keras_initialisation():
    torch.manual_seed(0)
    net, _ = build_sequential([{"conv": 64}, "flatten", {"dense": 10}], **(OPTIONS | {"init": "glorot_uniform"}))
    conv = net[0]
    limit = (6 / (9 * 1 + 9 * 64)) ** 0.5
    assert conv.bias.abs().max() == 0
    assert 0.95 * limit < conv.weight.abs().max() <= limit


def test_batch_norm_and_activation_options_reach_the_layers():
    options = {"activation": "sigmoid", "init": "pytorch", "bn_momentum": 0.01, "bn_eps": 1e-3}
    net, _ = build_sequential([{"conv": 4}, "batch_norm", "activation", "gap", {"dense": 10}], **options)
    assert isinstance(net[1], torch.nn.Sigmoid)
    assert (net[2].momentum, net[2].eps) == (0.01, 1e-3)
    assert isinstance(net[3], torch.nn.Sigmoid)


def test_strides_groups_and_shared_convolutions():
    conv = {"filters": 8, "padding": "same", "bias": False, "activation": "none"}
    layers = [
        {"conv": {"filters": 8, "stride": 2}}, {"conv": conv | {"groups": "depthwise"}}, {"conv": conv | {"groups": 2}},
        {"conv": conv | {"share": "a"}}, {"conv": conv | {"share": "a"}}, "gap", {"dense": 10},
    ]  # fmt: skip
    net, rows = build_sequential(layers, **OPTIONS)
    assert [row.output_shape for row in rows[:5]] == [(8, 13, 13)] * 5
    assert [row.trainable for row in rows] == [8 * 9 + 8, 8 * 9, 8 * 4 * 9, 8 * 8 * 9, 0, 0, 90]
    assert net[4] is net[5]
    assert sum(p.numel() for p in net.parameters()) == count(rows)[1]


def test_a_residual_adds_its_input_and_squeeze_excite_scales_channels():
    inner = [{"conv": {"filters": 4, "padding": "same", "bias": False}}, "batch_norm"]
    net, rows = build_sequential(
        [{"conv": 4}, {"residual": inner}, {"squeeze_excite": 2}, "gmp", {"dense": 10}], **OPTIONS
    )
    assert [row.kind for row in rows[1:3]] == ["Residual", "SqueezeExcite"]
    assert [row.trainable for row in rows[1:3]] == [4 * 4 * 9 + 8, 4 * 2 + 2 + 2 * 4 + 4]
    x = torch.rand(2, 4, 26, 26)
    with torch.no_grad():
        net[2].layers[0].weight.zero_()
        torch.testing.assert_close(net[2](x), x)  # what batch norm makes of zeros is 0
        scaled = net[3](x) / x
    torch.testing.assert_close(scaled, scaled[:, :, :1, :1].expand_as(x))
    assert ((scaled > 0) & (scaled < 1)).all()


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({}, 200 + 16 + 1008 + 1764 + 28 * 2 + 14 * 18 * 9 + 18 * 18 * 9 + 36 * 2 + 190),
        ({"block": "depthwise"}, 2012), ({"block": "separable"}, 2012 - 2 * (8 + 14 + 14 + 18)),
        ({"depths": [3, 2], "shared": True}, 8490 + 28),  # one more batch norm alone
        ({"residual": True}, 8490), ({"groups": 2}, 4512), ({"squeeze_excite": 4}, 8786), ({"padding": "valid"}, 8490),
        ({"padding": ["same", "valid"]}, 8490),
        ({"first": 4, "first_kernel": 3, "first_pool": False, "width": 5, "growth": 1.35, "depths": [1, 3, 2]}, 2905),
    ],
)  # fmt: skip
def test_small_nets_by_a_few_numbers(options, trained):
    net = SmallCNN(**{"first": 8, "width": 14, "growth": 1.3, "depths": [2, 2]} | options)
    assert count(net.layer_rows)[1] == sum(p.numel() for p in net.net.parameters()) == trained
    assert net.eval()(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("padding", "side"),
    [("same", 6), ("valid", 4), (["same", "valid"], 2), (["valid", "same"], 4)],
)
def test_padding_of_each_stage(padding, side):
    net = SmallCNN(8, 14, 1, [2, 2], padding=padding)
    assert (14, side, side) in [row.output_shape for row in net.layer_rows][-4:]


def test_without_padding_an_image_may_become_too_small():
    with pytest.raises(LayerError, match="3 x 3"):
        SmallCNN(8, 14, 1, [2, 2], padding=["valid", "valid"])


def test_paddings_of_other_stages_are_refused():
    with pytest.raises(LayerError, match=r"padding = \['valid'\]: must be one for each stage, of which depths has 2"):
        SmallCNN(8, 14, 1.3, [2, 2], padding=["valid"])


@pytest.mark.parametrize(("kind", "expected"), [("gap", 0.5), ("gmp", 3.0)])
def test_global_pooling_takes_the_mean_or_the_maximum_of_each_channel(kind, expected):
    net, rows = build_sequential([kind, {"dense": 10}], **OPTIONS)
    images = torch.zeros(2, 1, 28, 28)
    images[1, 0, 3, 4], images[1, 0, 5, 6] = 3.0, 28 * 28 * 0.5 - 3.0 if kind == "gap" else 2.0
    assert net[0](images).tolist() == [[0.0], [pytest.approx(expected)]]
    assert rows[0].output_shape == (1,)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([{"conv": 8}, {"dense": 10}], ["layer 2 (dense: 10)", "8 x 26 x 26", "flatten"]),
        ([{"conv": 8}, "flatten", {"conv": 8}], ["layer 3 (conv: 8)", "5408"]),
        (["flatten", "gap", {"dense": 10}], ["layer 2 (gap)", "784"]),
        (["flatten", "gmp", {"dense": 10}], ["layer 2 (gmp)", "784"]),
        ([{"conv": {"filters": 10, "kernel": 29}}, "flatten"], ["29 x 29", "1 x 28 x 28"]),
        ([{"pool": 2}] * 5 + ["flatten"], ["layer 5 (pool: 2)", "1 x 1 x 1"]),
        ([{"conv": 8}, "flatten"], ["5408", "10 logits"]),
        ([{"convv": 8}], ["layer 1 (convv: 8)", "did you mean 'conv'"]),
        ([{"conv": {"filter": 8}}], ["'filter'", "did you mean 'filters'"]),
        ([{"dropout": 1.0}], ["rate = 1.0", "[0, 1)"]),
        (["dropout"], ["needs 'rate'"]),
        ([{"conv": 0}], ["filters = 0", ">= 1"]),
        ([{"conv": {"filters": 8, "padding": "sam"}}], ["padding = 'sam'", "same"]),
        ([{"flatten": 3}], ["takes no argument"]),
        ([{"conv": {"filters": 8, "groups": 2}}], ["2 groups", "its 1 channels"]),
        ([{"conv": {"filters": 8, "groups": "depthwize"}}], ["groups", "depthwise"]),
        ([{"conv": {"filters": n, "share": "a"}} for n in (8, 9)], ["layer 2", "shares 'a'"]),
        ([{"residual": [{"conv": 8}]}, "gap", {"dense": 10}], ["layer 1", "8 x 26 x 26", "1 x 28 x 28"]),
        ([{"residual": [{"convv": 8}]}], ["its layer 1 (convv: 8)"]),
        ([{"residual": []}], ["layers = []"]),
        ([{"activation": "relo"}], ["'relo'", "did you mean 'relu'"]),
        ([3], ["must be a name"]),
        ([], ["10 logits"]),
    ],
)
def test_a_layer_list_that_cannot_be_built_names_the_layer(layers, said):
    with pytest.raises(LayerError) as error:
        build_sequential(layers, **OPTIONS)
    for words in said:
        assert words in str(error.value)
