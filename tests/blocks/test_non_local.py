"""NonLocal against the paper's equation as a loop over pairs of positions, and against pytorchvideo's block."""

import itertools
import math

import pytest
import torch
from pytorchvideo.layers.nonlocal_net import create_nonlocal

from nlvideo import ops
from nlvideo.blocks import NonLocal

PAIRWISE = tuple(ops.PAIRWISE)
C, T, H, W = 6, 4, 4, 5  # an odd width: the last column falls out of the pooled keys


def randomised(block):
    """With weights and statistics far from their start, where the block would be the identity."""
    generator = torch.Generator().manual_seed(0)
    for tensor in itertools.chain(block.parameters(), block.buffers()):
        if tensor.is_floating_point():
            tensor.data = 0.5 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    for name, buffer in block.named_buffers():
        if name.endswith("running_var"):
            buffer.abs_().add_(0.5)
    return block


def clip(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def by_hand(block, x, *, pairwise, subsample, pool_after_projection, domain, temporal_groups, scale):
    """z_i = W_z y_i + x_i and y_i = 1/C(x) sum_j f(x_i, x_j) g(x_j), position by position."""

    def linear(conv, vector):
        weight = conv.weight[:, :, 0, 0, 0]
        return weight @ vector if conv.bias is None else weight @ vector + conv.bias

    def pooled(vectors, t, h, w):
        """The maximum over the 2 x 2 places that key (t, h, w) stands for."""
        return torch.stack([vectors[t, 2 * h + i, 2 * w + j] for i in (0, 1) for j in (0, 1)]).amax(dim=0)

    def see_each_other(i, j):
        if domain == "time":
            return i[1:] == j[1:]
        frames = 1 if domain == "space" else x.shape[2] // temporal_groups
        return i[0] // frames == j[0] // frames

    def f(a, b):
        if pairwise == "concatenation":
            return torch.relu(block.conv_concat.weight.flatten() @ torch.cat([a, b]))
        return a @ b if pairwise == "dot_product" else torch.exp(scale * (a @ b))

    def phi(vector):
        return vector if pairwise == "gaussian" else linear(block.conv_phi, vector)

    out = torch.empty_like(x)
    for b in range(len(x)):
        at = {place: x[(b, slice(None), *place)] for place in itertools.product(*map(range, x.shape[2:]))}
        if not subsample:
            keys = {place: (phi(v), linear(block.conv_g, v)) for place, v in at.items()}
        else:
            places = itertools.product(range(x.shape[2]), range(x.shape[3] // 2), range(x.shape[4] // 2))
            all_phi = {place: phi(v) for place, v in at.items()}
            all_g = {place: linear(block.conv_g, v) for place, v in at.items()}
            keys = {
                j: (pooled(all_phi, *j), pooled(all_g, *j))
                if pool_after_projection
                else (phi(pooled(at, *j)), linear(block.conv_g, pooled(at, *j)))
                for j in places
            }
        for i, x_i in at.items():
            theta = x_i if pairwise == "gaussian" else linear(block.conv_theta, x_i)
            pairs = [(f(theta, key), g) for j, (key, g) in keys.items() if see_each_other(i, j)]
            softmax = pairwise in ("gaussian", "embedded_gaussian")
            normaliser = sum(weight for weight, _ in pairs) if softmax else len(pairs)
            y = sum(weight * g for weight, g in pairs) / normaliser
            norm = block.norm
            w_y = (linear(block.conv_out, y) - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            out[(b, slice(None), *i)] = w_y * norm.weight + norm.bias + x_i
    return out


OPTIONS = {
    "default": {},
    "every position": {"subsample": False},
    "project first": {"pool_after_projection": True},
    "space": {"domain": "space"},
    "time": {"domain": "time", "subsample": False},
    "groups": {"temporal_groups": 2},
    "groups of time": {"domain": "time", "subsample": False, "temporal_groups": 2},
    "bottleneck": {"bottleneck": 3, "bias": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_equals_the_equation_as_a_loop(pairwise, options):
    block = randomised(NonLocal(C, pairwise=pairwise, **options).double()).eval()
    x = clip(2, C, T, H, W)
    settings = {
        "subsample": True,
        "pool_after_projection": False,
        "domain": "spacetime",
        "temporal_groups": 1,
        **options,
    }
    inner = C // settings.pop("bottleneck", 2)
    settings.pop("bias", None)
    scale = inner**-0.5 if pairwise == "embedded_gaussian" else 1.0
    with torch.no_grad():
        expected = by_hand(block, x, pairwise=pairwise, scale=scale, **settings)
        torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("pairwise", "scale", "factor"),
    [("gaussian", True, C**-0.5), ("embedded_gaussian", False, 1.0), ("embedded_gaussian", True, (C // 2) ** -0.5)],
)
def test_scale_is_an_option_of_the_softmax(pairwise, scale, factor):
    block = randomised(NonLocal(C, pairwise=pairwise, scale=scale).double()).eval()
    x = clip(1, C, 2, H, W)
    settings = {"subsample": True, "pool_after_projection": False, "domain": "spacetime", "temporal_groups": 1}
    with torch.no_grad():
        expected = by_hand(block, x, pairwise=pairwise, scale=factor, **settings)
        torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_equals_the_equation_on_a_sequence(pairwise):
    """Nothing is pooled there: each moment is a key."""
    block = randomised(NonLocal(C, pairwise=pairwise).double()).eval()
    x = clip(2, C, 9)
    settings = {"subsample": False, "pool_after_projection": False, "domain": "spacetime", "temporal_groups": 1}
    scale = (C // 2) ** -0.5 if pairwise == "embedded_gaussian" else 1.0
    with torch.no_grad():
        expected = by_hand(block, x[..., None, None], pairwise=pairwise, scale=scale, **settings)[..., 0, 0]
        torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("pairwise", "instantiation"), [("embedded_gaussian", "softmax"), ("dot_product", "dot_product")]
)
@pytest.mark.parametrize("subsample", [True, False])
def test_equals_pytorchvideo_with_its_weights(subsample, pairwise, instantiation, training):
    pool = (1, 2, 2) if subsample else None
    theirs = create_nonlocal(dim_in=8, dim_inner=4, pool_size=pool, instantiation=instantiation)
    ours = NonLocal(8, pairwise=pairwise, subsample=subsample).train(training)
    ours.load_state_dict(randomised(theirs).train(training).state_dict())  # strict: the names are theirs
    x = clip(2, 8, 3, 6, 5, dtype=torch.float32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "affine", "none"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_adds_nothing_at_the_start(pairwise, options, norm):
    x = clip(2, C, T, H, W, dtype=torch.float32)
    torch.testing.assert_close(NonLocal(C, pairwise=pairwise, norm=norm, **options)(x), x, rtol=0, atol=0)


@pytest.mark.parametrize("norm", ["batch", "affine", "none"])
def test_init_scale_scales_what_the_block_adds_at_the_start(norm):
    x = clip(1, 8, 2, 4, 4, dtype=torch.float32)
    added = {}
    for init_scale in (1.0, 0.5):
        torch.manual_seed(0)
        added[init_scale] = NonLocal(8, norm=norm, init_std=1.0, init_scale=init_scale).eval()(x) - x
    torch.testing.assert_close(added[0.5], added[1.0] / 2)
    assert added[1.0].abs().max() > 0.1


def test_init_std_is_that_of_the_convolutions():
    torch.manual_seed(0)
    convs = [module for module in NonLocal(128).children() if isinstance(module, torch.nn.Conv3d)]
    weights = torch.cat([conv.weight.flatten() for conv in convs])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    default = NonLocal(128, init_std=None).conv_theta.weight  # PyTorch's: uniform in +- 1/sqrt(C)
    assert default.std().item() == pytest.approx(1 / math.sqrt(3 * 128), rel=0.05)


def test_a_frozen_affine_is_not_trained():
    block = NonLocal(8, norm="affine")
    assert "norm.weight" in block.state_dict()
    assert not [name for name, _ in block.named_parameters() if name.startswith("norm")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pairwise": "cosine"}, "pairwise 'cosine': expected gaussian, embedded_gaussian, dot_product or concat"),
        ({"domain": "frame"}, "domain 'frame': expected spacetime, space or time"),
        ({"norm": "layer"}, "norm 'layer': expected batch, affine or none"),
        ({"bottleneck": 0}, "bottleneck 0; expected 1 to 8"),
        ({"bottleneck": 9}, "bottleneck 9; expected 1 to 8"),
        ({"pairwise": "dot_product", "scale": True}, "which dot_product has not; leave it out"),
        ({"pairwise": "concatenation", "scale": True}, "leave it out"),
        ({"domain": "time"}, "set subsample to false"),
        ({"pool_after_projection": True, "subsample": False}, "subsample is false"),
        ({"temporal_groups": 0}, "temporal_groups 0"),
        ({"temporal_groups": 2, "domain": "space"}, "domain 'space'"),
    ],
)
def test_options_that_make_no_sense_say_so(options, words):
    with pytest.raises(ValueError, match=words):
        NonLocal(8, **options)


def test_frames_must_divide_into_groups():
    with pytest.raises(ValueError, match="3 frames do not divide into temporal_groups 2"):
        NonLocal(8, temporal_groups=2)(clip(1, 8, 3, 4, 4, dtype=torch.float32))
