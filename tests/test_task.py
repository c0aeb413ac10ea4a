import pytest
from lightning import Trainer

from nlvideo.data.module import VideoData
from nlvideo.models import ResNet3d
from nlvideo.task import VideoClassifier


def test_data_and_network_must_agree_on_the_classes(visitors, monkeypatch):
    monkeypatch.setattr("nlvideo.data.reading.Video", None)  # it is found before anything is decoded
    manifest = str(visitors / "val.csv")
    data = VideoData(4, manifest, manifest, num_workers=0)
    task = VideoClassifier(ResNet3d("c2d", [1, 1, 1, 1], 5, width=4))
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    with pytest.raises(ValueError, match="the data has 4 classes, the network 5"):
        trainer.validate(task, data, verbose=False)
