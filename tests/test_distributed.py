"""That the processes of tests/distributed.py are what they say."""

import pytest
import torch
from torch import distributed

from tests.distributed import run_ranks


def add_ranks(offset):
    total = torch.tensor(float(distributed.get_rank() + offset))
    distributed.all_reduce(total)
    return distributed.get_rank(), total.item()


def fail_on_one():
    if distributed.get_rank() == 1:
        raise ValueError("rank 1 is not well")
    distributed.barrier()


def test_ranks_talk_to_each_other():
    assert run_ranks(add_ranks, 10) == [(0, 21.0), (1, 21.0)]


def test_a_rank_that_fails_is_heard():
    with pytest.raises(AssertionError, match="rank 1 is not well"):
        run_ranks(fail_on_one)
