"""No N x M matrix, forward or backward. Bytes are counted at the allocator and nothing is timed."""

import itertools

import pytest
import torch

from nlvideo.ops import softmax


@pytest.fixture
def train(operation, allocations, monkeypatch):
    """Forward and backward at N = M: (peak bytes, largest single allocation)."""
    # At sizes that are quick to run, the shipped blocks would hide the growth.
    monkeypatch.setattr(softmax, "BLOCK_SCORES", 2**17)
    monkeypatch.setattr(softmax, "BLOCK_ROWS", 1)

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
    """As shipped, the issue's own number: D = E = 64; the matrix alone would be 1,074 MB."""
    n = 16_384
    if operation.name == "softmax":
        n = 1024  # its arithmetic is quadratic; what depends on N is two results of 4 MB, far from the limit
    inputs = operation.inputs(1, n, 16_384, 64, 64, dtype=torch.float32)
    taken = allocations(lambda: operation.value_and_gradients(operation.fast, inputs))
    assert max(itertools.accumulate(taken)) < 100e6
