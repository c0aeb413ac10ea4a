"""In which order training sees its samples, and where their random draws come from: of these, nothing is ever stored.

    order      a permutation of the samples, drawn from (seed, epoch); batch b of all processes together is
               its b-th part, and the processes take turns in it:

                   permutation   7 2 9 4 | 0 8 1 5 | 3 6        two processes, two samples each a batch;
                   process       0 1 0 1 | 0 1 0 1 |            what does not fill a batch is left out

    sample     every draw (clip, crop, flip, ..) from (seed, epoch, its row in the manifest), set where it is read
    step       every draw (mixup, dropout, ..) from (seed, epoch, batch, process), set as the batch is handed over

So a batch is the same set of samples for any number of processes with the same total batch, a sample the same clip
whichever worker reads it, and a run that starts again in the middle of an epoch does what it would have done.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler

ORDER, SAMPLE, STEP = range(3)  # what a seed is for: the same numbers never give the same draws twice


def mixed_seed(*numbers: int) -> int:
    """A seed of 32 bits from several numbers; near numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def set_seed(seed: int) -> None:
    """Of every generator that a transform, a decoder or a network may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class SampleRef(NamedTuple):
    """A sample in an epoch."""

    index: int
    seed: int


class ResumableDistributedSampler(DistributedSampler):
    """Places for one process's batches, see the top of this file. Its base class tells Lightning that they are split
    over the processes already.

    Args:
        num_samples: of the data set.
        batch_size: samples of a batch in one process.
        rank: of this process.
        num_ranks: how many processes there are.
    """

    def __init__(self, num_samples: int, batch_size: int, *, seed: int, rank: int = 0, num_ranks: int = 1):
        super().__init__(range(num_samples), num_replicas=num_ranks, rank=rank, seed=seed)
        self.total_batch = batch_size * num_ranks
        self.num_batches = num_samples // self.total_batch
        self.batch_size = batch_size
        self.first_batch = 0  # of the next pass: where an interrupted epoch goes on

    def __len__(self) -> int:
        """Samples of a whole epoch in this process, wherever it begins."""
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[SampleRef]:
        generator = torch.Generator().manual_seed(mixed_seed(ORDER, self.seed, self.epoch))
        permutation = torch.randperm(len(self.dataset), generator=generator).tolist()
        begin, end = self.first_batch * self.total_batch, self.num_batches * self.total_batch
        for index in permutation[begin + self.rank : end : self.num_replicas]:
            yield SampleRef(index, mixed_seed(SAMPLE, self.seed, self.epoch, index))

    def step_seed(self, batch: int) -> int:
        return mixed_seed(STEP, self.seed, self.epoch, batch, self.rank)


class SeededDataset(Dataset):
    """The samples of a data set by their places: all random draws of one come from its seed."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: SampleRef):
        set_seed(place.seed)
        return self.dataset[place.index]
