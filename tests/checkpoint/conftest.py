"""Networks of other codebases in small, with their own names and conventions, and files as they write them.

Written with torch alone, from what the codebases do: nothing of nlvideo stands here.
"""

import pickle
from dataclasses import dataclass, field

import pytest
import torch
from torch.nn import functional as F

NAMES = {
    "nln": {
        "stem": "conv1",
        "stem_bn": "res_conv1_bn",
        "conv": "res{s}_{i}_branch2{abc}",
        "bn": "res{s}_{i}_branch2{abc}_bn",
        "short": "res{s}_{i}_branch1",
        "short_bn": "res{s}_{i}_branch1_bn",
        "nl": "nonlocal_conv{s}_{i}_{part}",
        "nl_bn": "nonlocal_conv{s}_{i}_bn",
        "fc": "pred",
    },
    "slowfast": {
        "stem": "s1.pathway0_stem.conv",
        "stem_bn": "s1.pathway0_stem.bn",
        "conv": "s{s}.pathway0_res{i}.branch2.{abc}",
        "bn": "s{s}.pathway0_res{i}.branch2.{abc}_bn",
        "short": "s{s}.pathway0_res{i}.branch1",
        "short_bn": "s{s}.pathway0_res{i}.branch1_bn",
        "nl": "s{s}.pathway0_nonlocal{i}.conv_{part}",
        "nl_bn": "s{s}.pathway0_nonlocal{i}.bn",
        "fc": "head.projection",
    },
    "mmaction2": {
        "stem": "backbone.conv1.conv",
        "stem_bn": "backbone.conv1.bn",
        "conv": "backbone.layer{layer}.{i}.conv{number}.conv",
        "bn": "backbone.layer{layer}.{i}.conv{number}.bn",
        "short": "backbone.layer{layer}.{i}.downsample.conv",
        "short_bn": "backbone.layer{layer}.{i}.downsample.bn",
        "nl": "backbone.layer{layer}.{i}.non_local_block.{mm_part}.conv",
        "nl_bn": "backbone.layer{layer}.{i}.non_local_block.conv_out.bn",
        "fc": "cls_head.fc_cls",
    },
}
CAFFE2 = {"weight": "_w", "bias": "_b"}
CAFFE2_BN = {"weight": "_s", "bias": "_b", "running_mean": "_rm", "running_var": "_riv"}

# Which residual blocks see three frames, in res2 to res5 of R50 and R101.
INFLATED = {2: "111", 3: "1010", 4: "10101010101010101010101", 5: "010"}


@dataclass
class ForeignNet:
    """A network that makes its random weights, under its own names, on its first run."""

    source: str
    arch: str = "c2d"
    depths: tuple = (1, 2, 2, 1)
    at: dict = field(default_factory=dict)  # stage -> indices of non-local blocks
    pairwise: str = "embedded_gaussian"
    long_form: bool = False  # conv1 and pool1 halve the frames
    affine: bool = False
    nl_bias: bool = True
    subsample: bool = True
    width: int = 4

    def __post_init__(self):
        self.state = {}
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, x):
        padded = self.source == "slowfast" or (self.source == "mmaction2" and self.arch != "c2d")
        halve = 2 if self.long_form else 1
        window = 2 if self.long_form and self.source == "nln" else 1
        x = self.conv(x, "stem", self.width, (1 if self.arch == "c2d" else 5, 7, 7), (halve, 2, 2))
        x = self.bn(x, "stem_bn").relu()
        x = F.max_pool3d(x, (window, 3, 3), (halve, 2, 2), (0, 1, 1) if padded else 0)
        for s, depth in zip((2, 3, 4, 5), self.depths, strict=True):
            for i in range(depth):
                x = self.residual(x, s, i)
                if i in self.at.get(s, ()):
                    x = self.non_local(x, s, i)
            if s == 2:
                x = F.max_pool3d(x, (2, 1, 1))
        x = x.mean((2, 3, 4))
        return F.linear(x, self.param("fc", "weight", (5, x.shape[1])), self.param("fc", "bias", (5,)))

    def residual(self, x, s, i):
        inner, stride, where = self.width << (s - 2), 2 if i == 0 and s > 2 else 1, {"s": s, "i": i}
        seen = 3 if INFLATED[s][i] == "1" else 1
        a, b = {"c2d": (1, 1), "i3d": (seen, 1), "i3d_3x3x3": (1, seen)}[self.arch]
        y = self.conv(x, "conv", inner, (a, 1, 1), abc="a", **where)
        y = self.bn(y, "bn", abc="a", **where).relu()
        y = self.conv(y, "conv", inner, (b, 3, 3), (1, stride, stride), abc="b", **where)
        y = self.bn(y, "bn", abc="b", **where).relu()
        y = self.bn(self.conv(y, "conv", 4 * inner, (1, 1, 1), abc="c", **where), "bn", abc="c", **where)
        if i == 0:
            x = self.conv(x, "short", 4 * inner, (1, 1, 1), (1, stride, stride), **where)
            x = self.bn(x, "short_bn", **where)
        return (x + y).relu()

    def non_local(self, x, s, i):
        if self.source == "nln" and self.affine and s == 3 and x.shape[2] > 4:  # long clips, in runs of four frames
            return torch.cat([self.non_local(run, s, i) for run in x.split(4, dim=2)], dim=2)
        channels, mm = x.shape[1], self.source == "mmaction2"
        pool = (lambda z: F.max_pool3d(z, (1, 2, 2))) if self.subsample else (lambda z: z)

        def project(z, part):
            return self.conv(z, "nl", channels // 2, (1, 1, 1), bias=self.nl_bias, s=s, i=i, part=part)

        def keys(part):
            return pool(project(x, part)) if mm else project(pool(x), part)

        theta, phi = (x, pool(x)) if self.pairwise == "gaussian" else (project(x, "theta"), keys("phi"))
        theta, phi, g = theta.flatten(2), phi.flatten(2), keys("g").flatten(2)
        if self.pairwise == "concatenation":
            w = self.param("nl", "weight", (1, channels, 1, 1), s=s, i=i, part="concat_project")[0, :, 0, 0]
            pairs = torch.cat(
                [theta[..., None].expand(-1, -1, -1, phi.shape[2]), phi[:, :, None].expand(-1, -1, theta.shape[2], -1)],
                1,
            )
            f = torch.einsum("c,bcnm->bnm", w, pairs).relu() / phi.shape[2]
        else:
            f = theta.transpose(1, 2) @ phi
            if self.pairwise == "dot_product":
                f = f / phi.shape[2]
            else:
                f = (f if mm else f * theta.shape[1] ** -0.5).softmax(2)
        y = torch.einsum("bnm,bcm->bcn", f, g).unflatten(2, x.shape[2:])
        y = self.conv(y, "nl", channels, (1, 1, 1), bias=self.nl_bias and not mm, s=s, i=i, part="out")
        return x + self.bn(y, "nl_bn", s=s, i=i)

    def conv(self, x, item, channels, kernel, stride=(1, 1, 1), bias=False, **where):
        shape = (channels, x.shape[1], *kernel)
        images = self.source == "mmaction2" and self.arch == "c2d" and item != "nl"
        weight = self.param(item, "weight", (*shape[:2], *shape[3:]) if images else shape, **where).reshape(shape)
        bias = self.param(item, "bias", (channels,), **where) if bias else None
        return F.conv3d(x, weight, bias, stride, [k // 2 for k in kernel])

    def bn(self, x, item, **where):
        names = ("weight", "bias") if self.affine else ("weight", "bias", "running_mean", "running_var")
        values = [self.param(item, name, (x.shape[1],), **where)[:, None, None, None] for name in names]
        if self.affine:
            return x * values[0] + values[1]
        scale, shift, mean, var = values
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def param(self, item, parameter, shape, s=2, i=0, abc="a", part=""):
        mm_part = {"out": "conv_out"}.get(part, part)
        if self.subsample and part in ("phi", "g"):
            mm_part += ".0"
        name = NAMES[self.source][item].format(
            s=s, i=i, abc=abc, part=part, layer=s - 1, number="abc".index(abc) + 1, mm_part=mm_part
        )
        suffixes = {"nln": CAFFE2_BN if item.endswith("bn") else CAFFE2}.get(self.source, {})
        name += suffixes.get(parameter, f".{parameter}")
        if name not in self.state:
            spread = (2 / torch.Size(shape[1:]).numel()) ** 0.5 if len(shape) > 1 else 0.1
            if parameter == "running_var":
                self.state[name] = torch.rand(shape, generator=self.generator) + 0.5
            elif parameter == "weight" and len(shape) == 1:  # of a norm; smaller than 1, or a hundred layers explode
                self.state[name] = torch.rand(shape, generator=self.generator) * 0.6 + 0.3
            else:
                self.state[name] = torch.randn(shape, generator=self.generator) * spread
        return self.state[name].double()  # so that only conventions can make a difference

    def save(self, path, **entries):
        """As the codebase writes its files; `entries` go beside the weights."""
        if self.source == "nln":
            blobs = {name: weight.numpy() for name, weight in self.state.items()}
            blobs |= {f"{name}_momentum": 0 * blob for name, blob in blobs.items()}
            blobs |= {"lr": torch.zeros(1).numpy(), "model_iter": torch.ones(1).long().numpy()}
            path.write_bytes(pickle.dumps({"blobs": blobs} | entries, protocol=2))
        elif self.source == "slowfast":
            torch.save(
                {"epoch": 3, "model_state": self.state, "optimizer_state": {"state": {}}, "cfg": ""} | entries, path
            )
        else:
            torch.save({"meta": {"epoch": 3}, "state_dict": self.state} | entries, path)
        return path


@pytest.fixture(scope="session")
def foreign_net():
    return ForeignNet


@pytest.fixture
def clip():
    def make(frames=8, side=64):
        return torch.randn(2, 3, frames, side, side, generator=torch.Generator().manual_seed(1)).double()

    return make
