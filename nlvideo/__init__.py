"""Spacetime attention in video networks."""

import warnings

# pytorchvideo's, at its import: nothing that a user of nlvideo can change.
warnings.filterwarnings("ignore", message=".*torch.jit.script. is deprecated", category=FutureWarning)

__version__ = "0.1.0"


def load(path, *, trusted_modules=()):
    """Return the network of a checkpoint, from the file alone, in eval mode: see `nlvideo.checkpoint.load`."""
    from nlvideo import checkpoint  # late: `nlvideo --help` has to answer before torch is imported

    return checkpoint.load(path, trusted_modules=trusted_modules)
