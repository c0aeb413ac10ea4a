"""The help pages, which are made without importing what they are about, name every option that the parser knows."""

import inspect
import re
import subprocess
import sys

import pytest

from nlvideo import blocks
from nlvideo.__main__ import main
from nlvideo.cli import VideoCLI
from nlvideo.help_pages import FIRST_PAGE, TOPICS, block_topics, help_page, read_options
from nlvideo.models import ResNet3d

HEAVY = ("torch", "lightning", "numpy", "pandas", "matplotlib", "av")
PLACES_OF_FILES = {"--config", "--data", "--model", "--model.optimizer", "--model.schedule", "--trainer"}


class ParserOnly(VideoCLI):
    """Stops before it parses."""

    def parse_arguments(self, parser, args):
        self.options = {option for action in self._parser("fit")._actions for option in action.option_strings}
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def known_options():
    cli = object.__new__(ParserOnly)
    with pytest.raises(KeyboardInterrupt):
        cli.__init__(["fit"])
    return {option for option in cli.options if option.startswith("--") and not option.endswith(("help", "+"))}


def named_in(page: str) -> set[str]:
    return set(re.findall(r"^  (--[\w.]+)", page, flags=re.MULTILINE))


def test_the_pages_name_the_options_of_the_parser(known_options):
    shown = named_in(help_page("fit") + help_page("fit", "trainer") + help_page("test"))
    refused = {f"--trainer.{name}" for name in ("overfit_batches", "barebones", "enable_checkpointing")}
    assert known_options - shown == {*PLACES_OF_FILES, "--no_resume", *refused}
    assert shown - known_options == {"--import"}  # read before the parser sees the command line


def test_the_page_of_the_network_names_its_parameters():
    parameters = set(inspect.signature(ResNet3d).parameters) - {"num_classes"}
    assert {f"--model.net.{name}" for name in parameters} <= named_in(help_page("fit", "net"))


@pytest.mark.parametrize("name", sorted(set(blocks.__all__) - {"Block"}))
def test_every_block_has_a_page_with_its_parameters(name):
    parameters = list(inspect.signature(getattr(blocks, name)).parameters)[1:]
    assert [option.name for option in read_options(*block_topics()[name])] == [
        f"model.net.after.block.{parameter}" for parameter in parameters
    ]


def test_every_option_says_what_it_does():
    for source in [*FIRST_PAGE, *(source for sources in (TOPICS | block_topics()).values() for source in sources)]:
        for option in read_options(source):
            assert option.about, option.name


def test_defaults_stand_as_they_are_written_on_the_command_line():
    page = help_page("fit")
    for given in ("--data.short_side [256, 320] ", "--data.flip true ", "--model.optimizer.base_batch null "):
        assert f"  {given}" in page


@pytest.mark.parametrize("command", ["fit", "validate", "test", "attention-stats"])
def test_a_page_is_short(command):
    lines = help_page(command).splitlines()
    assert len(lines) < 170
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    "arguments", [["fit", "--help"], ["test", "-h"], ["fit", "-c", "demo", "--help", "trainer"], ["recipes"]]
)
def test_help_imports_nothing_that_takes_long(arguments):
    code = (
        "import sys; from nlvideo.__main__ import main; status = main(sys.argv[1:]); "
        f"sys.exit(status or ' '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    )
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_an_unknown_topic(capsys):
    assert main(["fit", "--help", "trainr"]) == 2
    assert "expected net, augment, trainer, " in (shown := capsys.readouterr().err)
    assert "did you mean trainer?" in shown
