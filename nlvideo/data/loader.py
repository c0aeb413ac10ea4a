"""Batches for training, from anywhere in an epoch."""

from collections.abc import Iterator

from torch.utils.data import DataLoader

from nlvideo.data.failures import Failures, TooManyFailuresError
from nlvideo.data.samplers import ResumableDistributedSampler, SeededDataset, set_seed
from nlvideo.data.train_dataset import Clips


class TrainLoader(DataLoader):
    """Training batches in the order of a ResumableDistributedSampler. Set the seed of each step, know the position in
    the epoch, and raise in this process if too many videos fail."""

    def __init__(self, dataset: SeededDataset, *, failures: Failures, sampler: ResumableDistributedSampler, **options):
        super().__init__(dataset, sampler=sampler, **options)
        self.failures = failures
        self._batches_given = 0

    def __iter__(self) -> Iterator[Clips]:
        order: ResumableDistributedSampler = self.sampler
        first = order.first_batch
        if first == 0:
            self.failures.start_epoch(len(order))
        batches = super().__iter__()
        for batch_index in range(first, order.num_batches):
            batch = next(batches)
            order.first_batch = 0  # the next pass is a whole one
            self.failures.check()
            if batch is None:
                what = "a video and all tried in its place could not be read"
                raise TooManyFailuresError(self.failures.summary(what))
            self._batches_given = batch_index + 1
            set_seed(order.step_seed(batch_index))
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Samples of this epoch that all processes together were given, and how many this one could not read."""
        return {"samples": self._batches_given * self.sampler.total_batch, "failed": self.failures.in_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass begins there."""
        order: ResumableDistributedSampler = self.sampler
        order.first_batch = self._batches_given = state["samples"] // order.total_batch
        self.failures.start_epoch(len(order), state["failed"] if order.rank == 0 else 0)  # the first process wrote it
