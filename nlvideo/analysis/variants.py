"""The variants of a test that ``nlvideo test --lesion .. --probe ..`` asks for."""

from collections.abc import Sequence
from functools import partial

from nlvideo.analysis.lesions import lesioned, parse_lesions
from nlvideo.analysis.probes import parse_probes, probe_clips
from nlvideo.evaluation.variants import Variant
from nlvideo.models import Backbone


def make_variants(net: Backbone, *, lesions: Sequence[str], probes: Sequence[str], seed: int) -> list[Variant]:
    """Return lesions of a network, then time probes.

    Args:
        lesions, probes: as on the command line, see `parse_lesions` and `parse_probes`.
        seed: of the orders of shuffled frames.

    Raises:
        ValueError: there is no such block, lesion or probe.
    """
    variants = [
        Variant(f"lesion-{name}", "lesion", lesion=partial(lesioned, lesions=of_blocks))
        for name, of_blocks in parse_lesions(net, lesions).items()
    ]
    return variants + [
        Variant(f"probe-{name}", "probe", probe=lambda clips, video, name=name: probe_clips(clips, name, seed, video))
        for name in parse_probes(probes)
    ]
