"""Parameters, multiply-adds and memory, against published numbers and numbers counted by hand."""

import functools
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import flop_registry
from torchvision.models import get_model_weights

from nlvideo.blocks import NonLocal, PositionAttention, SqueezeExcite
from nlvideo.cost.count import count_cost, count_parts, total
from nlvideo.cost.published import REFERENCE_COSTS, ReferenceCost
from nlvideo.cost.published_libraries import LIBRARY_COSTS
from nlvideo.cost.tables import NetworkSpec, stage_table
from nlvideo.models import Backbone, DualAttentionHead, Insert, ResNet3d
from nlvideo.ops import PAIRWISE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("line", REFERENCE_COSTS, ids=lambda line: line.name)
def test_published_sizes(line):
    gmacs, params = line.count()
    assert round(gmacs, 2) == line.gmacs
    assert line.params in (None, round(params, 2))


@pytest.mark.parametrize("line", LIBRARY_COSTS, ids=lambda line: line.name)
def test_published_sizes_of_libraries(line):
    """To the last digit that the source gives, and in the documentation."""
    gmacs, params = line.count()
    assert round(gmacs, len(str(line.gmacs).partition(".")[2])) == line.gmacs
    assert round(params, len(str(line.params).partition(".")[2])) == line.params
    row = f"| {params:.2f} | {line.params:.2f} | {gmacs:.2f} | {line.gmacs:.2f} | {line.norm} |"
    assert row in (ROOT / "docs" / "any_backbone.md").read_text()


def test_torchvision_s_sizes_are_those_of_its_weights():
    for line in LIBRARY_COSTS:
        if line.model.startswith("torchvision."):
            meta = get_model_weights(line.model.rpartition(".")[2]).KINETICS400_V1.meta
            assert (line.gmacs, round(line.params * 1e6)) == (meta["_ops"], meta["num_params"])


@pytest.mark.parametrize(
    ("arch", "at", "params", "gmacs"),
    [("i3d_3x3x3", "none", 1.5, 1.8), ("i3d", "none", 1.2, 1.5), ("c2d", "nl5", 1.2, 1.2)],
)
def test_ratios_to_c2d_as_in_the_paper(arch, at, params, gmacs):
    """Wang et al. 2018, Table 2e, R101; it does not say for which clip."""
    ours, c2d = (ReferenceCost(*net, 32, 224, 0).count() for net in ((arch, 101, at), ("c2d", 101, "none")))
    assert round(ours[1] / c2d[1], 1) == params
    assert round(ours[0] / c2d[0], 1) == gmacs


@pytest.mark.parametrize(("channels", "params"), [(512, 0.527), (1024, 2.102)])
def test_parameters_of_one_block(channels, params):
    assert sum(each.numel() for each in NonLocal(channels).parameters()) / 1e6 == pytest.approx(params, abs=0.0006)


def test_parameters_of_squeeze_excite_in_r50():
    """2/r sum_s N_s C_s^2 (Hu et al. 2018, Eq. 5), which is their 2.5 million, and our biases."""
    with torch.device("meta"):
        plain, filled = ResNet3d("c2d", 50), ResNet3d("c2d", 50, branch=Insert(SqueezeExcite, "all"))
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    weights = sum(2 * count * c * c // 16 for c, count in blocks.items())
    biases = sum(count * (c + c // 16) for c, count in blocks.items())
    added = count_cost(filled, (8, 64, 64)).params - count_cost(plain, (8, 64, 64)).params
    assert added == weights + biases
    assert weights / 1e6 == pytest.approx(2.5, abs=0.05)


def small(**settings):
    with torch.device("meta"):
        return ResNet3d(**{"depth": [1, 1, 1, 1], "width": 8, "num_classes": 5, **settings})


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_attention_counts_as_in_the_papers_and_as_computed(pairwise):
    """Explicit: N M (D + E) multiply-adds; for concatenation, whose scores are sums, N M E.

    Computed: the dot product and concatenation by their own forms, with conv_out on the M values instead of the N
    results; for concatenation w_f . theta and w_f . phi are one product with a vector each.
    """
    clip, c, d, n, m = (8, 224, 224), 32, 16, 8 * 56 * 56, 8 * 28 * 28
    filled = small(after=Insert(functools.partial(NonLocal, pairwise=pairwise), {"res2": 1}))
    base, cost = count_cost(small(), clip), count_cost(filled, clip)
    embedded = pairwise != "gaussian"
    scores = (n + m) * d if pairwise == "concatenation" else 0
    projections = (n + m) * c * d * (2 if embedded else 1) + scores  # theta and out; phi and g
    explicit = {"gaussian": c + d, "concatenation": d}.get(pairwise, 2 * d) * n * m
    computed = {
        "dot_product": n * c * d + 3 * m * c * d + (n + m) * d * c,  # theta; phi, g and out; the two products
        "concatenation": 2 * m * c * d + 2 * c * d + (n + m) * c + 3 * (n + m) * c,  # g, out; scores; running sums
    }.get(pairwise, projections + explicit)
    assert cost.macs - base.macs == projections + explicit
    assert cost.computed_macs - base.computed_macs == computed
    assert cost.norm_macs - base.norm_macs == 2 * n * c


def test_every_operator_of_ours_is_counted():
    """The counter cannot see into them, and would leave out what it does not know."""
    named = {name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names() if name.startswith("nlvideo::")}
    forward = {name for name in named if not name.endswith("_backward")}
    assert forward
    assert forward <= {operator._qualified_op_name for operator in flop_registry if hasattr(operator, "_schemas")}


class Tiny(Backbone):
    """conv - relu - mean - linear."""

    def __init__(self, num_classes: int = 5):
        super().__init__(num_classes, locals())
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.attention = PositionAttention(4, reduction=2)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.attention(self.relu(self.conv(x))).mean(dim=(2, 3, 4)))


def test_parts_of_a_network_by_hand():
    with torch.device("meta"):
        net = Tiny()
    parts = {part.name: part for part in count_parts(net, (2, 4, 4), batch=3)}
    n = 2 * 4 * 4
    assert parts["conv"].output == (2, 4, 4)
    assert parts["conv"].cost.params == 27 * 3 * 4 + 4
    assert parts["conv"].cost.macs == n * 27 * 3 * 4
    assert parts["attention"].cost.macs == n * 4 * (2 + 2 + 4) + n * n * (2 + 4)
    assert parts["head"].cost.macs == 4 * 5
    # In bytes of 3 clips: a convolution keeps its input, a ReLU its output, a linear layer its input.
    assert parts["conv"].cost.explicit_bytes == 4 * 3 * 3 * n
    assert parts["relu"].cost.explicit_bytes == 4 * 3 * 4 * n
    assert parts["head"].cost.explicit_bytes == 4 * 3 * 4
    whole = total("all", list(parts.values())).cost
    assert replace(whole, kept_bytes=0, explicit_bytes=0) == count_cost(net, (2, 4, 4))


def test_blocks_keep_the_matrix_only_in_the_explicit_form():
    parts = count_parts(small(after=Insert(at={"res2": 1})), (8, 112, 112), batch=4)
    res2 = next(part for part in parts if part.name == "res2")
    n, m = 8 * 28 * 28, 8 * 14 * 14
    matrix = 4 * 4 * n * m  # 157 MB, beyond what is kept
    assert dict(res2.blocks) == {"NonLocal": 1}
    assert matrix <= res2.cost.explicit_bytes - res2.cost.kept_bytes <= 3 * matrix


def test_table_by_stage():
    head = functools.partial(DualAttentionHead, auxiliary=True)
    net = small(after=Insert(at={"res4": 1}), branch=Insert(SqueezeExcite, "all"), head=head)
    table = stage_table(NetworkSpec(net, (8, 64, 64), 2))
    stages, outputs, blocks, params, *_ = ([*column.cells] for column in table.columns)
    assert stages == ["stem", "res2", "pool2", "res3", "res4", "res5", "head", "all", "without blocks"]
    assert outputs[:6] == ["8 x 16 x 16", "8 x 16 x 16", "4 x 16 x 16", "4 x 8 x 8", "4 x 4 x 4", "4 x 2 x 2"]
    assert blocks[4] == "1 SqueezeExcite, 1 NonLocal"
    assert blocks[-2] == "4 SqueezeExcite, 1 NonLocal, 1 PositionAttention, 1 ChannelAttention"
    base = total("", count_parts(net.bare().to("meta"), (8, 64, 64), 2)).cost.params
    assert params[-1] == f"{base / 1e6:.3f}"
    assert params[-2].endswith(f"×{sum(each.numel() for each in net.parameters()) / base:.2f}")


@pytest.fixture
def tool(monkeypatch):
    """Runs tools/cost.py."""
    spec = importlib.util.spec_from_file_location("cost_tool", ROOT / "tools" / "cost.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cost.py", *arguments])
        return module.main()

    return run


def test_the_tool_takes_recipes_and_overrides(tool, capsys):
    demo = str(ROOT / "configs" / "demo.yaml")
    assert tool("-c", demo, "--model.net.after.at={res3: [0]}") == 0
    assert "1 NonLocal" in capsys.readouterr().out
    assert tool("-c", demo, "--against", demo.replace("demo", "c2d_r50_8x8"), "--data.crop_size=64") == 0
    shown = capsys.readouterr().out
    assert "32 of 8 x 64 x 64" in shown
    assert "c2d_r50_8x8" in shown


def test_the_tool_says_what_is_wrong(tool, capsys):
    demo = str(ROOT / "configs" / "demo.yaml")
    assert tool("-c", demo, "--model.net.after.at=nl5") == 1
    assert capsys.readouterr().err.startswith("cost: placement res4: 3 blocks asked for, but res4 has 2")
    assert tool("-c", demo, "--model.net.colour=red") == 1
    assert capsys.readouterr().err.startswith("cost: Option 'colour' is not accepted")
