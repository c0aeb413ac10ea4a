"""The order of samples and their draws: functions of seed, epoch and place, and of nothing else."""

import pytest
import torch
from lightning.fabric.utilities import move_data_to_device

from nlvideo.data.module import VideoData
from nlvideo.data.samplers import ResumableDistributedSampler
from nlvideo.data.transforms import Augment


def batches(order: ResumableDistributedSampler) -> list[list]:
    places = list(order)
    return [places[i : i + order.batch_size] for i in range(0, len(places), order.batch_size)]


def test_a_batch_is_the_same_set_for_any_number_of_processes():
    whole = batches(ResumableDistributedSampler(50, 12, seed=3))
    assert len(whole) == 4
    for num_ranks in (2, 3, 4):
        parts = [
            batches(ResumableDistributedSampler(50, 12 // num_ranks, seed=3, rank=r, num_ranks=num_ranks))
            for r in range(num_ranks)
        ]
        for b, batch in enumerate(whole):
            assert sorted(batch) == sorted(place for part in parts for place in part[b])


def test_an_epoch_that_goes_on_has_the_rest_of_its_places_and_is_followed_by_a_whole_one():
    orders = [ResumableDistributedSampler(50, 6, seed=3, rank=1, num_ranks=2) for _ in range(2)]
    for order in orders:
        order.set_epoch(2)
    whole = batches(orders[0])
    orders[1].first_batch = 3
    assert batches(orders[1]) == whole[3:]
    assert len(orders[1]) == len(orders[0]) == 24


def test_epochs_and_seeds_have_other_orders_and_other_draws():
    epochs = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1)):
        order = ResumableDistributedSampler(50, 10, seed=seed)
        order.set_epoch(epoch)
        epochs.append(list(order))
    assert len({tuple(place.index for place in places) for places in epochs}) == 4
    assert len({place.seed for places in epochs for place in places}) == 4 * 50
    assert all(sorted(place.index for place in places) == list(range(50)) for places in epochs)


@pytest.fixture(scope="module")
def loader_of(tmp_path_factory, write_numbered):
    """loader_of(num_workers): batches of two videos with all that transforms draw; a video in six is missing."""
    folder = tmp_path_factory.mktemp("data")
    rows = [f"{write_numbered(folder / f'{i}.mp4', 40).name},{i % 2}\n" for i in range(5)]
    (folder / "train.csv").write_text("path,label\n" + "".join([*rows, "absent.mp4,1\n"]))

    def make(num_workers, **more):
        augment = Augment(color_jitter=0.4, rand_augment=9, erasing=0.5)
        options = {"short_side": (64, 80), "crop_size": 48, "clip_frames": 4, "frame_interval": 4, "repeats": 2}
        train = str(folder / "train.csv")
        data = VideoData(2, train, train, **options, **more, augment=augment, batch_size=4, num_workers=num_workers)
        data.max_failed = 1.0
        data.setup("fit")
        return data.train_dataloader()

    return make


def drawn(loader) -> list:
    """Each batch, and what a step draws after it."""
    return [(*batch, torch.rand(3)) for batch in loader]


def test_the_number_of_workers_changes_nothing(loader_of):
    torch.testing.assert_close(drawn(loader_of(2)), drawn(loader_of(0)), rtol=0, atol=0)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_clips_that_are_augmented_after_loading_are_the_same(loader_of, num_workers):
    """As with augment_on_device; and the draws of the step are untouched."""
    loader = loader_of(num_workers, augment_on_device=True)
    transform = loader.dataset.dataset.transform
    later = [(*transform.batch(batch), torch.rand(3)) for batch in loader]
    torch.testing.assert_close(later, drawn(loader_of(0)), rtol=0, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_clips_that_are_augmented_on_a_gpu_are_the_same_to_rounding(loader_of):
    loader = loader_of(0, augment_on_device=True)
    transform = loader.dataset.dataset.transform
    for batch, expected in zip(map(transform.batch, move_data_to_device([*loader], "cuda")), loader_of(0), strict=True):
        assert batch.video.is_cuda and batch.label.tolist() == expected.label.tolist()
        assert (batch.video.cpu().float() - expected.video.float()).abs().mean() < 1


def test_a_loader_goes_on_where_another_was(loader_of):
    whole, loader = drawn(loader_of(0)), loader_of(0)
    next(iter(loader))
    again = loader_of(0)
    again.load_state_dict(loader.state_dict())
    torch.testing.assert_close(drawn(again), whole[1:], rtol=0, atol=0)
    assert again.failures.in_epoch == 1
    torch.testing.assert_close(drawn(again), whole, rtol=0, atol=0)
