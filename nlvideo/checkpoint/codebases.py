"""How other codebases name the parameters of a ResNet, and what they do that weights do not tell.

Our names are pytorchvideo's: ``blocks.3.res_blocks.1.branch2.conv_a.weight``; a non-local block behind that residual
block is ``blocks.3.res_blocks.1.after``. A new codebase is one `Codebase` and its place in `CODEBASES`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

# blocks.0 is the stem and blocks.2 a pooling layer.
STAGES = {"res2": 1, "res3": 3, "res4": 4, "res5": 5}
STEM, HEAD = "blocks.0", "blocks.6.proj"

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean, standard deviation of R, G, B in [0, 1]
GREY = (0.45, 0.225)


@dataclass(frozen=True, kw_only=True)
class Codebase:
    """The names and the conventions of a codebase.

    Attributes:
        name: shown to users.
        stem: its modules of the stem -> ours.
        head: its linear layer.
        stages: its numbers of res2 to res5.
        block: pattern of what precedes a module of a residual block, with groups ``stage`` and ``index``.
        in_block: its modules of a residual block -> ours.
        non_local, in_non_local: the same for non-local blocks.
        suffixes: its endings of names -> PyTorch's; empty if they are PyTorch's.
        ignored: pattern of names that are no weights -> what they are.
        pooled_keys: part of a name that only non-local blocks with pooled keys have; None if names do not tell.
        net: its conventions, arguments of ResNet3d.
        image_net: those of its networks with two-dimensional weights.
        non_local_net: its conventions, arguments of NonLocal.
        affine_groups: `temporal_groups` of non-local blocks in res3, in its networks without batch norms.
        normalisation: mean and standard deviation of its pixels.
        hints: arguments of NonLocal that its files tell beside the weights, read from these other entries.
    """

    name: str
    stem: dict[str, str]
    head: str
    stages: str
    block: str
    in_block: dict[str, str]
    non_local: str | None = None
    in_non_local: dict[str, str] = field(default_factory=dict)
    suffixes: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    pooled_keys: str | None = None
    net: dict[str, Any]
    image_net: dict[str, Any] = field(default_factory=dict)
    non_local_net: dict[str, Any] = field(default_factory=dict)
    affine_groups: int = 1
    normalisation: tuple[Any, Any] = GREY
    hints: Callable[[dict[str, Any]], dict[str, Any]] = lambda entries: {}

    def our_name(self, name: str) -> str | None:
        """Return our name of a parameter, or None if a ResNet has none such."""
        if self.suffixes:
            suffix = next((suffix for suffix in self.suffixes if name.endswith(suffix)), None)
            if suffix is None:
                return None
            name = name.removesuffix(suffix) + self.suffixes[suffix]
        module, _, parameter = name.rpartition(".")
        if module == self.head:
            return f"{HEAD}.{parameter}"
        if module in self.stem:
            return f"{STEM}.{self.stem[module]}.{parameter}"
        for pattern, modules, ours in (
            (self.non_local, self.in_non_local, "after."),
            (self.block, self.in_block, ""),
        ):
            found = re.fullmatch(f"{pattern}(?P<module>.+)", module) if pattern else None
            if found and found["stage"] in self.stages and found["module"] in modules:
                stage = list(STAGES.values())[self.stages.index(found["stage"])]
                return f"blocks.{stage}.res_blocks.{found['index']}.{ours}{modules[found['module']]}.{parameter}"
        return None


def _residual(conv: str, norm: str, letters: str, shortcut: str, shortcut_norm: str) -> dict[str, str]:
    """Return the modules of a residual block -> ours, from the templates of their names."""
    ours = {shortcut: "branch1_conv", shortcut_norm: "branch1_norm"}
    for letter, abc in zip(letters, "abc", strict=True):
        ours |= {conv.format(letter): f"branch2.conv_{abc}", norm.format(letter): f"branch2.norm_{abc}"}
    return ours


def _pairwise_of_slowfast(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the pairwise function that SlowFast's files tell in their configuration, a YAML text."""
    try:
        instantiation = yaml.safe_load(entries["cfg"])["NONLOCAL"]["INSTANTIATION"]
        return {"pairwise": {"softmax": "embedded_gaussian", "dot_product": "dot_product"}[instantiation]}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError):  # another file's cfg is anything
        return {}


THETA_PHI_G_OUT = {name: name for name in ("conv_theta", "conv_phi", "conv_g", "conv_out")}

# What the paper's code does, and SlowFast and pytorchvideo after it.
PAPER_NON_LOCAL = {
    "pairwise": "embedded_gaussian",
    "scale": True,
    "pool_after_projection": False,
    "subsample": True,
}

NON_LOCAL_NET = Codebase(
    name="video-nonlocal-net",
    stem={"conv1": "conv", "res_conv1_bn": "norm"},
    head="pred",
    stages="2345",
    block=r"res(?P<stage>\d)_(?P<index>\d+)_",
    in_block=_residual("branch2{}", "branch2{}_bn", "abc", "branch1", "branch1_bn"),
    non_local=r"nonlocal_conv(?P<stage>\d)_(?P<index>\d+)_",
    in_non_local={"theta": "conv_theta", "phi": "conv_phi", "g": "conv_g", "out": "conv_out", "bn": "norm"},
    suffixes={
        "_bn_s": "_bn.weight",
        "_bn_b": "_bn.bias",
        "_bn_rm": "_bn.running_mean",
        "_bn_riv": "_bn.running_var",  # a variance in published files, whatever its name says
        "_w": ".weight",
        "_b": ".bias",
    },
    ignored={r".*_momentum": "the optimiser's momentum", r"lr|model_iter|cur_iter": "the optimiser's state"},
    net={"temporal_stride": 1, "pool1": "unpadded"},
    non_local_net=PAPER_NON_LOCAL,
    affine_groups=4,  # its clips of 32 frames are 16 behind pool2, and groups have 4
)

SLOWFAST = Codebase(
    name="SlowFast",
    stem={"s1.pathway0_stem.conv": "conv", "s1.pathway0_stem.bn": "norm"},
    head="head.projection",
    stages="2345",
    block=r"s(?P<stage>\d)\.pathway0_res(?P<index>\d+)\.",
    in_block=_residual("branch2.{}", "branch2.{}_bn", "abc", "branch1", "branch1_bn"),
    non_local=r"s(?P<stage>\d)\.pathway0_nonlocal(?P<index>\d+)\.",
    in_non_local={**THETA_PHI_G_OUT, "bn": "norm", "norm": "norm"},
    net={"temporal_stride": 1, "pool1": "padded"},
    non_local_net=PAPER_NON_LOCAL,
    hints=_pairwise_of_slowfast,
)

PYTORCHVIDEO = Codebase(
    name="pytorchvideo",
    stem={"blocks.0.conv": "conv", "blocks.0.norm": "norm"},
    head="blocks.6.proj",
    stages="1345",
    # Its networks have no non-local blocks; a residual block and its `create_nonlocal` in nn.Sequential are read.
    block=r"blocks\.(?P<stage>\d)\.res_blocks\.(?P<index>\d+)\.(0\.)?",
    in_block=_residual("branch2.conv_{}", "branch2.norm_{}", "abc", "branch1_conv", "branch1_norm"),
    non_local=r"blocks\.(?P<stage>\d)\.res_blocks\.(?P<index>\d+)\.1\.",
    in_non_local={**THETA_PHI_G_OUT, "norm": "norm"},
    net={"temporal_stride": 1, "pool1": "padded"},
    non_local_net=PAPER_NON_LOCAL,
)

MMACTION = Codebase(
    name="mmaction2",
    stem={"backbone.conv1.conv": "conv", "backbone.conv1.bn": "norm"},
    head="cls_head.fc_cls",
    stages="1234",
    block=r"backbone\.layer(?P<stage>\d)\.(?P<index>\d+)\.",
    in_block=_residual("conv{}.conv", "conv{}.bn", "123", "downsample.conv", "downsample.bn"),
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
    pooled_keys=".non_local_block.g.0.",
    net={"temporal_stride": 4, "pool1": "padded"},
    image_net={"temporal_stride": 1, "pool1": "unpadded"},  # its C2D
    non_local_net={"pairwise": "embedded_gaussian", "scale": False, "pool_after_projection": True},
    normalisation=IMAGENET,
)

TORCHVISION = Codebase(
    name="torchvision or timm",
    stem={"conv1": "conv", "bn1": "norm"},
    head="fc",
    stages="1234",
    block=r"layer(?P<stage>\d)\.(?P<index>\d+)\.",
    in_block=_residual("conv{}", "bn{}", "123", "downsample.0", "downsample.1"),
    net={"temporal_stride": 1, "pool1": "padded"},
    normalisation=IMAGENET,
)

CODEBASES = [NON_LOCAL_NET, SLOWFAST, PYTORCHVIDEO, MMACTION, TORCHVISION]


def recognise(names: Iterable[str]) -> Codebase:
    """Return the codebase that uses these names.

    Raises:
        ValueError: none does.
    """
    names = sorted(names)
    for codebase in CODEBASES:
        if f"{STEM}.conv.weight" in map(codebase.our_name, names):
            return codebase
    known = ", ".join(codebase.name for codebase in CODEBASES)
    raise ValueError(f"no codebase known here ({known}) has a first convolution among {', '.join(names[:3])}, ..")
