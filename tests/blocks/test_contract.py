"""What every block keeps to. A class exported by nlvideo.blocks is tested here without being named here."""

import inspect

import pytest
import torch

from nlvideo import blocks

BLOCKS = [
    block
    for block in map(blocks.__dict__.get, blocks.__all__)
    if inspect.isclass(block) and issubclass(block, blocks.Block) and block is not blocks.Block
]
# Papers that put their block into a network to be trained from scratch do not let it start as the identity.
NOT_THE_IDENTITY = {"SqueezeExcite": "its gate starts near sigmoid(0) = 1/2 (Hu et al. 2018, Eq. 3)"}
SHAPES = {"square": (2, 64, 4, 6, 6), "not square": (2, 64, 3, 7, 4), "one frame": (2, 64, 1, 5, 6)}

each_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


@pytest.fixture(autouse=True)
def same_start():
    torch.manual_seed(0)


def clip(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def awake(block):
    """The block away from its start, where some parameters are 0 and stop the gradient of others."""
    generator = torch.Generator().manual_seed(1)
    for parameter in block.parameters():
        if not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return block


def test_the_list_of_imports_holds_every_block():
    names = {block.__name__ for block in BLOCKS}
    assert {"NonLocal", "SqueezeExcite", "PositionAttention", "ChannelAttention", "DualAttention"} <= names


@each_shape
@each_block
def test_shape_and_gradient_to_every_parameter(block, shape):
    module, x = awake(block(shape[1])), clip(shape).requires_grad_()
    out = module(x)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    (out * clip(shape)).sum().backward()
    for name, tensor in [("x", x), *module.named_parameters()]:
        assert tensor.grad is not None and tensor.grad.isfinite().all(), name
        if name != "x":
            assert tensor.grad.any() or _has_no_effect(module, name, shape), name


def _has_no_effect(module, name, shape):
    """Whether the output stands still when the parameter moves: a bias that a norm or a softmax takes away again."""
    module, x = module.double(), clip(shape).double()
    before = module(x)
    module.get_parameter(name).data += 0.1
    return torch.allclose(before, module(x), rtol=1e-6, atol=1e-9)


@each_shape
@each_block
def test_start(block, shape):
    x = clip(shape)
    module = block(shape[1])
    out = module(x)
    assert module.is_identity() == (block.__name__ not in NOT_THE_IDENTITY)
    if module.is_identity():
        torch.testing.assert_close(out, x, rtol=0, atol=0)
    else:
        assert not torch.allclose(out, x)
    assert not awake(module).is_identity()


@each_block
def test_bfloat16(block):
    module = awake(block(64)).eval()
    x = clip(SHAPES["square"])
    expected = module(x)
    for out in (module.bfloat16()(x.bfloat16()), _under_autocast(module.float(), x)):
        assert out.isfinite().all()
        assert (out.float() - expected).norm() / expected.norm() < 0.05


def _under_autocast(module, x):
    with torch.autocast("cpu", torch.bfloat16):
        return module(x)


@each_block
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["contiguous", "last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
def test_dtype_and_layout_of_the_input_are_those_of_the_output(block, dtype, layout, autocast):
    """A shortcut that turned to float32 would stay so for the rest of the network."""
    module, x = awake(block(64)), clip(SHAPES["square"]).to(dtype, memory_format=layout)
    if not autocast:
        module.to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = module(x)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=layout)


@each_block
def test_runs_on_meta(block):
    """Where costs are counted."""
    shape = SHAPES["square"]
    assert block(64).to("meta")(torch.empty(shape, device="meta")).shape == shape


@each_block
def test_clips_of_a_batch_do_not_see_each_other(block):
    module, x = awake(block(64)).eval(), clip(SHAPES["not square"])
    torch.testing.assert_close(module(x), torch.cat([module(each[None]) for each in x]))


@each_block
def test_an_image_is_a_clip_of_one_frame(block):
    module, x = awake(block(64)).eval(), clip((2, 64, 1, 5, 6))
    torch.testing.assert_close(module(x[:, :, 0]), module(x)[:, :, 0])


@each_block
def test_a_sequence_is_a_clip_of_one_place(block):
    module, x = awake(block(64)).eval(), clip((2, 64, 7, 1, 1))
    torch.testing.assert_close(module(x[..., 0, 0]), module(x)[..., 0, 0])


@each_block
@pytest.mark.parametrize("shape", [(2, 64), (2, 32, 4, 6, 6), (2, 9, 64), (1, 2, 64, 4, 6, 6)], ids=str)
def test_other_shapes_are_errors(block, shape):
    with pytest.raises(ValueError, match=rf"{block.__name__}: expected \[B, C, T, H, W\].* with C = 64, got \["):
        block(64)(clip(shape))


@each_block
def test_the_constructor_is_the_configuration(block):
    channels, *options = list(inspect.signature(block).parameters.values())
    assert channels.name == "channels"
    assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in options)
    assert all(option.default is not inspect.Parameter.empty for option in options)
    assert all(option.annotation is not inspect.Parameter.empty for option in options)
    assert block.__doc__


@each_block
def test_unknown_arguments_and_no_channels_are_errors(block):
    with pytest.raises(TypeError, match="colour"):
        block(64, colour="red")
    with pytest.raises(ValueError, match=f"{block.__name__}: channels must be at least 1, got 0"):
        block(0)


@each_block
def test_the_state_makes_an_equal_block(block):
    one, other = awake(block(64)).eval(), block(64).eval()
    other.load_state_dict(one.state_dict())
    x = clip(SHAPES["square"])
    torch.testing.assert_close(other(x), one(x), rtol=0, atol=0)


@each_block
def test_any_number_of_channels(block):
    for channels in (2, 7, 24):
        assert block(channels)(clip((1, channels, 2, 4, 4))).shape[1] == channels
