"""The decoders, as parameters of tests: skipped, with the reason, if they cannot work here."""

import pytest

from nlvideo.data.video import READERS, check_decoder


def reason_against(decoder: str) -> str:
    """Return why a decoder cannot work here; nothing if it can."""
    try:
        check_decoder(decoder)
    except ValueError as error:
        return str(error)
    return ""


REASONS = {decoder: reason_against(decoder) for decoder in READERS}
USABLE = [decoder for decoder, reason in REASONS.items() if not reason]
DECODERS = [
    pytest.param(decoder, marks=pytest.mark.skipif(bool(reason), reason=reason)) for decoder, reason in REASONS.items()
]
