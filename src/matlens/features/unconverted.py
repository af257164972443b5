"""Tell a network that cannot be converted from trouble of the machine while it is converted."""

from __future__ import annotations

from matlens.errors import MatlensError, ModelError
from matlens.models.preflight import trouble_of
from matlens.system.files import why_unwritable
from matlens.system.resources import is_want_of_memory
from matlens.system.untrusted import in_short


def is_of_conversion(error: Exception) -> bool:
    """Return whether a conversion failed because of the network, or of the device's memory.

    False where another try of the same may succeed: the disk is full, or the machine's memory.
    """
    if isinstance(error, MatlensError):
        return isinstance(error, ModelError)
    if isinstance(error, OSError) or why_unwritable(error):
        return False
    return trouble_of(error) == "no memory" or not is_want_of_memory(error)


def not_converted(model: str, error: Exception) -> str:
    """Say, as the middle of a sentence, that a model's trunk could not be converted, and why."""
    return (f"the trunk of {model} could not be converted and compared "
            f"({type(error).__name__}: {in_short(' '.join(str(error).split()), 300)})")
