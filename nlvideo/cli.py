"""The command line of `fit`, `validate` and `test`: LightningCLI, with a folder for each run."""

import logging
import os
import sys
import warnings
from datetime import datetime
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import Namespace
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from nlvideo import checkpoint
from nlvideo.data.module import VideoData
from nlvideo.run import RunFolder, drop_failing_loggers, forget_run, metrics_logger
from nlvideo.task import VideoClassifier


class Parser(LightningArgumentParser):
    """An argument parser whose error is a line, not a screen of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        sys.stderr.write(f"nlvideo: {' '.join(lines)} (--help lists every option)\n")
        raise SystemExit(2)


class VideoCLI(LightningCLI):
    """Parses the command line, runs the command, and leaves its results in the run's folder."""

    def __init__(self, args: list[str]):
        _hush_libraries()
        super().__init__(
            VideoClassifier,
            VideoData,
            parser_class=Parser,
            save_config_callback=None,  # RunFolder writes config.yaml
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint carries its own record
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        skipped = {"model", "dataloaders", "datamodule", "verbose"}
        return {
            "fit": {*skipped, "train_dataloaders", "val_dataloaders"},
            "validate": skipped,
            "test": skipped,
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--name", type=str | None, default=None, help="The run's folder is runs_dir/name.")
        parser.add_argument("--runs_dir", type=str, default="runs", help="Where the folders of runs lie.")
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="fit: begin anew in a folder that holds a run."
        )
        parser.link_arguments("data.num_classes", "model.net.init_args.num_classes")

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """LightningCLI would let the checkpoint's settings replace those of the command line. We compare instead:
        see `VideoClassifier.on_load_checkpoint`."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        given = config.get("ckpt_path")
        resumed = checkpoint.read(given) if given else None
        if resumed is None and self.subcommand != "fit":
            raise ValueError(f"nlvideo {self.subcommand}: which weights? Give --ckpt_path runs/<name>/last.ckpt")
        if resumed is not None and self.subcommand == "fit" and "optimizer_states" not in resumed:
            raise ValueError(
                f"{given}: holds a network, and no run to go on with; start from it with --model.init_from {given}"
            )

        if self.subcommand != "fit" and given:
            folder = Path(given).parent
        else:
            config.name = config.name or f"{self.subcommand}-{datetime.now():%Y%m%d-%H%M%S}"
            folder = Path(config.runs_dir) / config.name
        if self.subcommand == "fit" and config.overwrite and not given:
            forget_run(folder)
        elif self.subcommand == "fit" and any(folder.glob("*.ckpt")) and not given:
            raise ValueError(
                f"{folder} holds a run already: choose another --name, go on with --ckpt_path {folder / 'last.ckpt'}, "
                "or begin anew with --overwrite true"
            )
        self.folder = folder
        self.resumed_at = resumed["global_step"] if resumed else None
        config.trainer.default_root_dir = str(folder)
        self._prepare_wandb(config.trainer)

    def _prepare_wandb(self, trainer: Namespace) -> None:
        """Each W&B run in the run's own folder, and offline where nobody is logged in: wandb would ask, and wait."""
        loggers = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
        for logger in loggers:
            if not str(getattr(logger, "class_path", "")).endswith("WandbLogger"):
                continue
            logger.init_args.save_dir = str(self.folder)
            logger.init_args.name = logger.init_args.name or str(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            if not logged_in_to_wandb():
                os.environ.setdefault("WANDB_MODE", "offline")

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """RunFolder prints the results, so Lightning need not (verbose)."""
        quiet = {} if subcommand == "fit" else {"verbose": False}
        return {**super()._prepare_subcommand_kwargs(subcommand), **quiet}

    def instantiate_trainer(self, **kwargs):
        config_text = self._parser(self.subcommand).dump(self.config[self.subcommand], skip_unset=False)
        self.model.run_config = yaml.safe_load(config_text)
        callbacks: list[Callback] = [RunFolder(self.folder, config_text)]
        if self.subcommand == "fit":
            callbacks.append(
                ModelCheckpoint(
                    self.folder,
                    filename="best",
                    monitor="val/clip_top1",
                    mode="max",
                    save_last=True,
                    enable_version_counter=False,
                )
            )
        if sys.stdout.isatty():
            callbacks.append(RichProgressBar(leave=False))
        config = {**self._get(self.config_init, "trainer"), **kwargs}
        logger = config["logger"]
        given = [] if isinstance(logger, bool) or logger is None else logger if isinstance(logger, list) else [logger]
        if self.subcommand == "fit":
            given = [metrics_logger(self.folder, self.resumed_at), *given]
        config["logger"] = given or False
        config["callbacks"] = [*(config["callbacks"] or []), *callbacks]
        config["enable_progress_bar"] = sys.stdout.isatty()
        config["enable_model_summary"] = False
        trainer = self.trainer_class(**config)
        drop_failing_loggers(trainer)
        return trainer


def _hush_libraries() -> None:
    """Leaves out advertisements, and warnings about what nobody who uses nlvideo can change."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        r".*callbacks used to create the checkpoint need to be provided.*",  # a test needs no ModelCheckpoint
        r"Checkpoint directory .* exists and is not empty",  # our run folder, made a moment ago
        r"Experiment logs directory .* exists and is not empty",
        r".*isinstance\(treespec, LeafSpec\).*",
        r"The '.*_dataloader' does not have many workers",
    ):
        warnings.filterwarnings("ignore", message=message)


def logged_in_to_wandb() -> bool:
    if "WANDB_API_KEY" in os.environ:
        return True
    try:
        return netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, NetrcParseError):
        return False
