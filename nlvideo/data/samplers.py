"""The order of training samples, their random draws, and a loader that starts anywhere in an epoch. Nothing of this is
stored: it is a function of (seed, epoch, place).

    order      a permutation of the samples, drawn from (seed, epoch); batch b of all processes together is its b-th
               part, and the processes take turns in it:

                   permutation   7 2 9 4 | 0 8 1 5 | 3 6        two processes, two samples each per batch;
                   process       0 1 0 1 | 0 1 0 1 |            what does not fill a batch is left out

    sample     every draw (clip, crop, flip, ..) from (seed, epoch, row in the manifest), seeded where it is read
    step       every draw (mixup, dropout, ..) from (seed, epoch, batch, process), seeded as the batch is handed over

So a batch is the same set of samples for any number of processes with the same total batch, a sample is the same clip
in whichever worker it is read, and a run that starts again in the middle of an epoch does what it would have done.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from nlvideo.data.clips import Clips, CutClips, collate_clips
from nlvideo.data.eval_dataset import EvalBatchSampler, EvalVideos, collate_readable
from nlvideo.data.failures import TooManyFailuresError
from nlvideo.data.train_dataset import TrainClips

ORDER, SAMPLE, STEP = range(3)  # what a seed is for: the same numbers never give the same draws twice


def mixed_seed(*numbers: int) -> int:
    """Return a seed of 32 bits from several numbers; near numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def set_cpu_seed(seed: int) -> None:
    """Seed every generator that a transform or a decoder may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed looks for every kind of device, in 0.2 ms and more


def set_seed(seed: int) -> None:
    """Seed every generator, also those of devices."""
    set_cpu_seed(seed)
    if torch.accelerator.is_available():  # or it would note a stack trace for each kind of device
        torch.manual_seed(seed)


class SampleRef(NamedTuple):
    """A sample in an epoch."""

    index: int
    seed: int


class ResumableDistributedSampler(DistributedSampler):
    """Samples of one process's batches of `batch_size`, in the order of the module's docstring. The base class tells
    Lightning that they are split over the processes already."""

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
    """A data set whose items are asked for by SampleRef, with all random draws of an item from its seed."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, sample: SampleRef):
        set_cpu_seed(sample.seed)
        return self.dataset[sample.index]


class TrainLoader(DataLoader):
    """Training batches in the order of a ResumableDistributedSampler. Set the seed of each step, know the position in
    the epoch, and raise in this process if too many videos fail."""

    sampler: ResumableDistributedSampler

    def __init__(
        self, dataset: TrainClips, batch_size: int, *, seed: int, rank: int, num_ranks: int, num_workers: int, **options
    ):
        super().__init__(
            SeededDataset(dataset),
            batch_size,
            sampler=ResumableDistributedSampler(len(dataset), batch_size, seed=seed, rank=rank, num_ranks=num_ranks),
            collate_fn=collate_clips,
            num_workers=num_workers,
            # A worker may wait in vain for each video of a batch, and no longer.
            timeout=dataset.timeout * (batch_size + 1) if num_workers else 0,
            **options,
        )
        self.failures = dataset.failures
        self._batches_given = 0

    def __iter__(self) -> Iterator[Clips | list[CutClips]]:
        sampler = self.sampler
        first = sampler.first_batch
        if first == 0:
            self.failures.start_epoch(len(sampler))
        batches = super().__iter__()
        for batch_index in range(first, sampler.num_batches):
            batch = next(batches)
            sampler.first_batch = 0  # the next pass is a whole one
            self.failures.check()
            if batch is None:
                what = "a video and all tried in its place could not be read"
                raise TooManyFailuresError(self.failures.summary(what))
            self._batches_given = batch_index + 1
            set_seed(sampler.step_seed(batch_index))
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the samples of this epoch that all processes together were given, and how many this one could not
        read."""
        return {"samples": self._batches_given * self.sampler.total_batch, "failed": self.failures.in_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next pass there."""
        sampler = self.sampler
        sampler.first_batch = self._batches_given = state["samples"] // sampler.total_batch
        self.failures.start_epoch(len(sampler), state["failed"] if sampler.rank == 0 else 0)  # process 0 wrote it


def eval_loader(
    dataset: EvalVideos,
    batch_size: int,
    *,
    skipped: frozenset[int],
    rank: int,
    num_ranks: int,
    num_workers: int,
    **options,
) -> DataLoader:
    """Return a loader of this process's batches of an evaluation, without the rows that are `skipped`."""
    batches = EvalBatchSampler(len(dataset), batch_size, skipped=skipped, rank=rank, num_ranks=num_ranks)
    # One video may have a thousand frames: a worker reads no further ahead than the next batch.
    options |= {"num_workers": num_workers, "prefetch_factor": 1 if num_workers else None}
    return DataLoader(dataset, batch_sampler=batches, collate_fn=collate_readable, **options)
