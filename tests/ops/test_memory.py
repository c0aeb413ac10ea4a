"""No N x M matrix, forward or backward. Bytes are counted at the allocator and nothing is timed."""

import itertools

import pytest
import torch


@pytest.fixture
def train(operation, allocations, set_limits):
    """Forward and backward at N = M: (peak bytes, largest single allocation)."""
    # At sizes that are quick to run, the shipped blocks would hide the growth.
    set_limits(explicit_bytes=0, kept_bytes=0, block_scores=2**17)

    def run(positions, channels=8):
        inputs = operation.inputs(1, positions, positions, channels, channels, dtype=torch.float32)
        taken = allocations(lambda: operation.value_and_gradients(operation.fast, inputs))
        return max(itertools.accumulate(taken)), max(taken)

    return run


def test_grows_linearly(train):
    peaks = [train(n)[0] for n in (1024, 2048, 4096)]
    first, second = peaks[1] - peaks[0], peaks[2] - peaks[1]
    assert second < 2.5 * first  # a line doubles from step to step, a parabola quadruples


def test_never_allocates_a_matrix(train):
    positions = 2048
    peak, largest = train(positions)
    matrix = 4 * positions**2  # 17 MB
    assert largest < matrix / 20
    assert peak < matrix / 4


def test_under_100_mb_at_16_384_positions(operation, allocations):
    """With the shipped limits. The matrix alone would be 1,074 MB."""
    n, channels = 16_384, 64
    if operation.name == "softmax":
        channels = 8  # its arithmetic is quadratic
    inputs = operation.inputs(1, n, n, channels, channels, dtype=torch.float32)
    taken = allocations(lambda: operation.value_and_gradients(operation.fast, inputs))
    assert max(itertools.accumulate(taken)) < 100e6
