"""What other codebases call the parameters of a ResNet, and what they do that weights do not tell.

Our names are pytorchvideo's: ``blocks.3.res_blocks.1.branch2.conv_a.weight``; behind a residual block stands
``blocks.3.res_blocks.1.after``.
"""

import re
from dataclasses import dataclass, field
from typing import Any

# blocks.0 is the stem and blocks.2 a pooling layer.
STAGES = {"res2": 1, "res3": 3, "res4": 4, "res5": 5}
STEM, HEAD = "blocks.0", "blocks.6.proj"

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean, standard deviation of R, G, B in [0, 1]
GREY = (0.45, 0.225)

THETA_PHI_G_OUT = {name: name for name in ("conv_theta", "conv_phi", "conv_g", "conv_out")}


@dataclass(frozen=True)
class Source:
    """A codebase.

    Attributes:
        name: for users.
        marker: a name that only its files have.
        stages: what it numbers res2 to res5.
        stem: its modules of the stem -> ours.
        block: pattern of what stands before a module of a residual block: groups stage and index.
        in_block: its modules of a residual block -> ours.
        head: its linear layer.
        non_local, in_non_local: the same for non-local blocks.
        subsampled: part of a name that only non-local blocks with pooled keys have; None where names do not tell.
        ignored: pattern of names that are no weights -> what they are.
        net: its conventions, arguments of ResNet3d.
        images: those of its networks with two-dimensional weights.
        block_settings: its conventions, arguments of NonLocal.
        frozen_groups: `temporal_groups` of non-local blocks in res3, in its networks without batch norms.
        normalisation: mean and standard deviation of its pixels.
    """

    name: str
    marker: str
    stages: str
    stem: dict[str, str]
    block: str
    in_block: dict[str, str]
    head: str
    non_local: str | None = None
    in_non_local: dict[str, str] = field(default_factory=dict)
    subsampled: str | None = None
    ignored: dict[str, str] = field(default_factory=dict)
    net: dict[str, Any] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    block_settings: dict[str, Any] = field(default_factory=dict)
    frozen_groups: int = 1
    normalisation: tuple[Any, Any] = GREY

    def our_name(self, name: str) -> str | None:
        """Of a parameter; None where there is none."""
        if self.name == CAFFE2:
            name = _with_torch_suffix(name)
        module, _, parameter = name.rpartition(".")
        if module == self.head:
            return f"{HEAD}.{parameter}"
        if module in self.stem:
            return f"{STEM}.{self.stem[module]}.{parameter}"
        for pattern, ours, plug in (
            (self.non_local, self.in_non_local, "after."),
            (self.block, self.in_block, ""),
        ):
            found = re.fullmatch(f"{pattern}(?P<module>.+)", module) if pattern else None
            if found and found["stage"] in self.stages and found["module"] in ours:
                stage = list(STAGES.values())[self.stages.index(found["stage"])]
                return f"blocks.{stage}.res_blocks.{found['index']}.{plug}{ours[found['module']]}.{parameter}"
        return None


CAFFE2 = "video-nonlocal-net"
CAFFE2_SUFFIXES = {
    "_bn_s": "_bn.weight",
    "_bn_b": "_bn.bias",
    "_bn_rm": "_bn.running_mean",
    "_bn_riv": "_bn.running_var",  # a variance by now, whatever its name says
    "_w": ".weight",
    "_b": ".bias",
}


def _with_torch_suffix(name: str) -> str:
    for suffix, ours in CAFFE2_SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix) + ours
    return name


def _in_block(conv: str, norm: str, letters: str, shortcut: str, shortcut_norm: str) -> dict[str, str]:
    """The modules of a residual block, given the patterns of their names."""
    names = {"branch1_conv": shortcut, "branch1_norm": shortcut_norm}
    for ours, theirs in zip("abc", letters, strict=True):
        names |= {f"branch2.conv_{ours}": conv.format(theirs), f"branch2.norm_{ours}": norm.format(theirs)}
    return {theirs: ours for ours, theirs in names.items()}


NON_LOCAL_NET = Source(
    name=CAFFE2,
    marker="conv1_w",
    stages="2345",
    stem={"conv1": "conv", "res_conv1_bn": "norm"},
    block=r"res(?P<stage>\d)_(?P<index>\d+)_",
    in_block=_in_block("branch2{}", "branch2{}_bn", "abc", "branch1", "branch1_bn"),
    head="pred",
    non_local=r"nonlocal_conv(?P<stage>\d)_(?P<index>\d+)_",
    in_non_local={"theta": "conv_theta", "phi": "conv_phi", "g": "conv_g", "out": "conv_out", "bn": "norm"},
    ignored={r".*_momentum": "the optimiser's momentum", r"lr|model_iter|cur_iter": "the optimiser's state"},
    net={"temporal_stride": 1, "pool1": "unpadded"},
    block_settings={"pairwise": "embedded_gaussian", "scale": True, "pool_after_projection": False, "subsample": True},
    frozen_groups=4,  # its clips of 32 frames are 16 behind pool2, and runs have 4
)

SLOWFAST = Source(
    name="SlowFast",
    marker="s1.pathway0_stem.conv.weight",
    stages="2345",
    stem={"s1.pathway0_stem.conv": "conv", "s1.pathway0_stem.bn": "norm"},
    block=r"s(?P<stage>\d)\.pathway0_res(?P<index>\d+)\.",
    in_block=_in_block("branch2.{}", "branch2.{}_bn", "abc", "branch1", "branch1_bn"),
    head="head.projection",
    non_local=r"s(?P<stage>\d)\.pathway0_nonlocal(?P<index>\d+)\.",
    in_non_local={**THETA_PHI_G_OUT, "bn": "norm", "norm": "norm"},
    net={"temporal_stride": 1, "pool1": "padded"},
    block_settings={"pairwise": "embedded_gaussian", "scale": True, "pool_after_projection": False, "subsample": True},
)

PYTORCHVIDEO = Source(
    name="pytorchvideo",
    marker="blocks.0.conv.weight",
    stages="1345",
    stem={"blocks.0.conv": "conv", "blocks.0.norm": "norm"},
    # Its networks have no non-local blocks; a residual block and its `create_nonlocal` in nn.Sequential are read.
    block=r"blocks\.(?P<stage>\d)\.res_blocks\.(?P<index>\d+)\.(0\.)?",
    in_block=_in_block("branch2.conv_{}", "branch2.norm_{}", "abc", "branch1_conv", "branch1_norm"),
    head="blocks.6.proj",
    non_local=r"blocks\.(?P<stage>\d)\.res_blocks\.(?P<index>\d+)\.1\.",
    in_non_local={**THETA_PHI_G_OUT, "norm": "norm"},
    net={"temporal_stride": 1, "pool1": "padded"},
    block_settings={"pairwise": "embedded_gaussian", "scale": True, "pool_after_projection": False, "subsample": True},
)

MMACTION = Source(
    name="mmaction2",
    marker="backbone.conv1.conv.weight",
    stages="1234",
    stem={"backbone.conv1.conv": "conv", "backbone.conv1.bn": "norm"},
    block=r"backbone\.layer(?P<stage>\d)\.(?P<index>\d+)\.",
    in_block=_in_block("conv{}.conv", "conv{}.bn", "123", "downsample.conv", "downsample.bn"),
    head="cls_head.fc_cls",
    non_local=r"backbone\.layer(?P<stage>\d)\.(?P<index>\d+)\.non_local_block\.",
    in_non_local={
        "theta.conv": "conv_theta",
        "phi.conv": "conv_phi",
        "phi.0.conv": "conv_phi",
        "g.conv": "conv_g",
        "g.0.conv": "conv_g",
        "concat_project.conv": "conv_concat",
        "conv_out.conv": "conv_out",
        "conv_out.bn": "norm",
    },
    subsampled=".non_local_block.g.0.",
    net={"temporal_stride": 4, "pool1": "padded"},
    images={"temporal_stride": 1, "pool1": "unpadded"},  # its C2D
    block_settings={"pairwise": "embedded_gaussian", "scale": False, "pool_after_projection": True},
    normalisation=IMAGENET,
)

TORCHVISION = Source(
    name="torchvision or timm",
    marker="layer1.0.conv1.weight",
    stages="1234",
    stem={"conv1": "conv", "bn1": "norm"},
    block=r"layer(?P<stage>\d)\.(?P<index>\d+)\.",
    in_block=_in_block("conv{}", "bn{}", "123", "downsample.0", "downsample.1"),
    head="fc",
    net={"temporal_stride": 1, "pool1": "padded"},
    normalisation=IMAGENET,
)

SOURCES = (NON_LOCAL_NET, SLOWFAST, PYTORCHVIDEO, MMACTION, TORCHVISION)


def recognise(names: set[str], path: Any) -> Source:
    """The codebase whose names these are."""
    for source in SOURCES:
        if source.marker in names:
            return source
    raise ValueError(
        f"checkpoint {path}: names such as {', '.join(sorted(names)[:3])} are of no codebase known here; expected "
        + ", ".join(f"{source.marker} ({source.name})" for source in SOURCES)
    )
