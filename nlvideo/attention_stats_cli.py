"""``nlvideo attention-stats``: statistics of a network's attention over a test set, with the options of a test."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from nlvideo.analysis.attention_stats import AttentionStats
from nlvideo.cli import VideoCLI, say_next
from nlvideo.run_options import STATS_OPTIONS, add_options


class AttentionStatsCLI(VideoCLI):
    """``nlvideo test`` with measures of attention in the place of scores."""

    def __init__(self, args: list[str]):
        super().__init__(["test", *args])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        add_options(parser, STATS_OPTIONS)

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        if config.lesion or config.probe:
            raise ValueError("nlvideo attention-stats: --lesion and --probe are for nlvideo test")
        if not config.output:
            raise ValueError("nlvideo attention-stats: where to? Give -o DIR")
        if config.limit is not None and config.limit < 1:
            raise ValueError(f"--limit {config.limit}: expected at least 1")
        super().before_instantiate_classes()

    def _results_folder(self, config: Namespace) -> Path:
        return self._writable(Path(config.output), "-o")

    def instantiate_trainer(self, **kwargs: Any):
        trainer = super().instantiate_trainer(**kwargs)
        settings = self.config_init[self.subcommand]
        self.model.evaluator = AttentionStats(self.model.evaluator, blocks=settings.block, limit=settings.limit)
        return trainer

    def after_test(self) -> None:
        say_next("attend", "VIDEO", *self._of_checkpoint()[-2:], "-o", self.folder / "maps")


def main(args: list[str]) -> None:
    """Run the command."""
    AttentionStatsCLI(args)
