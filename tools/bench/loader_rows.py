"""The rows of loader.py: for each, how random clips of 8 frames, every 8th, are read from files."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

from nlvideo.data.manifest import write_manifest
from nlvideo.data.module import VideoData
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.video import check_decoder

FRAMES, INTERVAL = 8, 8
SHORT_SIDES = [*range(256, 321)]
CROP = v2.Compose([v2.RandomShortestSize(SHORT_SIDES, antialias=True), v2.RandomCrop(224), v2.RandomHorizontalFlip()])

Make = Callable[[list[Path], int], Iterable]  # files and number of workers -> clips


def nlvideo(decoder: str) -> Make:
    """Return what `nlvideo fit` reads its training clips from."""

    def make(files: list[Path], workers: int) -> Iterable:
        check_decoder(decoder)
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / "videos.csv"
            write_manifest(manifest, [{"path": file.absolute(), "label": 0, "id": file.stem} for file in files], None)
            data = VideoData(1, str(manifest), str(manifest), batch_size=1, num_workers=workers, decoder=decoder)
            data.setup("fit")
        return data.train_dataloader()

    return make


class ReadClips(Dataset):
    """read(path) of each file."""

    def __init__(self, files: list[Path], read: Callable[[Path], object]):
        self.files = files
        self.read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> object:
        return self.read(self.files[index])


def reading(read: Callable[[Path], object]) -> Make:
    return lambda files, workers: DataLoader(ReadClips(files, read), batch_size=None, num_workers=workers)


def frame_numbers(num_frames: int) -> list[int]:
    return ClipSampling(FRAMES, INTERVAL).random(num_frames, 30.0, torch.rand(FRAMES).numpy()).tolist()


def decord_alone(path: Path) -> object:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    video = decord.VideoReader(str(path), num_threads=1)
    batch = video.get_batch(frame_numbers(len(video)))
    return torch.from_numpy(batch.asnumpy()) if hasattr(batch, "asnumpy") else batch


def pyav_alone(path: Path) -> object:
    """Count frames by the average rate, as most codebases do: right for most files."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        numbers = frame_numbers(stream.frames or int(container.duration * stream.average_rate / av.time_base))
        step = 1 / (stream.average_rate * stream.time_base)
        container.seek(int(numbers[0] * step) + (stream.start_time or 0), stream=stream)
        times = {int(number * step) + (stream.start_time or 0) for number in numbers}
        clip, last = [], None
        for frame in container.decode(stream):
            last = frame
            if frame.pts in times or frame.pts + 1 in times:
                clip.append(frame.to_ndarray(format="rgb24"))
            if frame.pts >= max(times):
                break
        return torch.stack([torch.from_numpy(picture) for picture in clip or [last.to_ndarray(format="rgb24")]])


def torchcodec_alone(path: Path) -> object:
    from torchcodec.decoders import VideoDecoder

    video = VideoDecoder(str(path), num_ffmpeg_threads=1)
    return video.get_frames_at(frame_numbers(len(video))).data


def bridged(clips: Iterable) -> Iterable:
    """Yield clips with the bridge of decord that pytorchvideo sets once and for all, whatever others have set since."""
    import decord

    clips = iter(clips)
    while True:
        decord.bridge.set_bridge("torch")
        clip = next(clips, None)
        if clip is None:
            return
        yield clip


def pytorchvideo(decoder: str) -> Make:
    def transform(sample: dict) -> torch.Tensor:
        video = sample["video"]  # float32 [C, T, H, W], every frame of the clip
        chosen = torch.linspace(0, video.shape[1] - 1, FRAMES).long()  # its UniformTemporalSubsample
        return CROP(video[:, chosen].to(torch.uint8).transpose(0, 1))

    def make(files: list[Path], workers: int) -> Iterable:
        from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler

        dataset = LabeledVideoDataset(
            [(str(path), {"label": 0}) for path in files],
            make_clip_sampler("random", FRAMES * INTERVAL / 30),
            RandomSampler,
            transform,
            decode_audio=False,
            decoder=decoder,
        )
        return bridged(DataLoader(dataset, batch_size=None, num_workers=workers))

    return make


def mmaction2(files: list[Path], workers: int) -> Iterable:
    """Build the training pipeline of its configs/recognition/slowonly of version 1."""
    import decord
    from mmaction.datasets import transforms as mm

    steps = [
        mm.DecordInit(num_threads=1),
        mm.SampleFrames(clip_len=FRAMES, frame_interval=INTERVAL, num_clips=1),
        mm.DecordDecode(),
        mm.Resize(scale=(-1, 256)),
        mm.RandomResizedCrop(),
        mm.Resize(scale=(224, 224), keep_ratio=False),
        mm.Flip(flip_ratio=0.5),
        mm.FormatShape(input_format="NCTHW"),
    ]

    def read(path: Path) -> object:
        decord.bridge.set_bridge("native")
        results = {"filename": str(path), "start_index": 0, "modality": "RGB", "label": 0}
        for step in steps:
            results = step(results)
        return results["imgs"]

    return reading(read)(files, workers)


def slowfast(files: list[Path], workers: int) -> Iterable:
    """Build the training path of its Kinetics data set, for the versions that decode a list of pathways."""
    from slowfast.datasets import decoder, utils, video_container

    def read(path: Path) -> object:
        container = video_container.get_video_container(str(path), False, "pyav")
        frames = decoder.decode(container, [INTERVAL], [FRAMES], clip_idx=-1, target_fps=30, backend="pyav")[0][0]
        return utils.spatial_sampling(frames.permute(3, 0, 1, 2), -1, 256, 320, 224)

    return reading(read)(files, workers)


ROWS: dict[str, Make] = {
    "nlvideo": nlvideo("auto"),
    "nlvideo, PyAV": nlvideo("pyav"),
    "nlvideo, torchcodec": nlvideo("torchcodec"),
    "decord alone": reading(decord_alone),
    "PyAV alone": reading(pyav_alone),
    "torchcodec alone": reading(torchcodec_alone),
    "mmaction2, decord": mmaction2,
    "SlowFast, PyAV": slowfast,
    "pytorchvideo, decord": pytorchvideo("decord"),
    "pytorchvideo, PyAV": pytorchvideo("pyav"),
}
