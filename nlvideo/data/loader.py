"""Batches for training, from anywhere in an epoch."""

from collections.abc import Iterator

from torch.utils.data import DataLoader

from nlvideo.data.dataset import Clips
from nlvideo.data.failures import Failures, TooManyFailuresError
from nlvideo.data.order import Order, Seeded, set_seed


class TrainLoader(DataLoader):
    """Of TrainClips in an Order: sets the seed of each step, knows where in the epoch it is, and stops, in this
    process, where too many videos fail."""

    def __init__(self, dataset: Seeded, *, failures: Failures, sampler: Order, **options):
        super().__init__(dataset, sampler=sampler, **options)
        self.failures = failures
        self._batches_given = 0
        self._failed_earlier = 0

    def __iter__(self) -> Iterator[Clips]:
        order: Order = self.sampler
        self.failures.start_epoch(len(order), self._failed_earlier)
        first, self._failed_earlier = order.first_batch, 0
        batches = super().__iter__()
        for batch_index in range(first, order.num_batches):
            batch = next(batches)
            order.first_batch = 0  # the workers have their places: the next pass is a whole one
            self.failures.check()
            if batch is None:
                raise TooManyFailuresError(
                    self.failures.summary("a video and all tried in its place could not be read")
                )
            self._batches_given = batch_index + 1
            set_seed(order.step_seed(batch_index))
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Samples of this epoch that all processes together were given; at the end of an epoch, 0 of the next. And
        how many of them this process could not read."""
        order: Order = self.sampler
        begun = self._batches_given < order.num_batches
        return {
            "samples": self._batches_given * order.total_batch if begun else 0,
            "failed": self.failures.in_epoch if begun else 0,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass begins there."""
        order: Order = self.sampler
        order.first_batch = self._batches_given = state["samples"] // order.total_batch
        self._failed_earlier = state["failed"] if order.rank == 0 else 0  # the first process wrote it
