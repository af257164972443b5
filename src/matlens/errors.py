"""Everything that matlens raises on purpose.

    MatlensError
    ├── UsageError            the user can mend it (exit code 2); the message says how
    │   ├── SettingsError     an option, a settings key or a value
    │   ├── DataError         photos, folders, splits
    │   ├── ModelError        an unknown model, a model that does not fit the data, a damaged model file
    │   ├── WeightsError      pretrained weights that are missing or unreadable
    │   ├── RunFolderError    an output folder that cannot be used
    │   └── WriteError        a file that cannot be written: no space, no permission
    └── WorkerError           a model's own process ended badly (exit code 1)
        └── KilledError       the system killed it, most likely for want of memory

A message names the file, the class or the option, and the way out.
"""

from __future__ import annotations


class MatlensError(Exception):
    """Base of all errors that matlens raises on purpose."""

    exit_code = 1


class UsageError(MatlensError):
    """The user can mend it; the message says how."""

    exit_code = 2


class SettingsError(UsageError):
    """An option, a settings key or a value that cannot be."""


class DataError(UsageError):
    """Photos, folders or splits that cannot be used as they are."""


class ModelError(UsageError):
    """An unknown model, a model that does not fit the data, or a damaged model file."""


class WeightsError(UsageError):
    """Pretrained weights that are missing or unreadable."""


class RunFolderError(UsageError):
    """An output folder that cannot be used."""


class WriteError(UsageError):
    """A file or folder that cannot be written. errno and strerror: the system's, where it gave them."""

    def __init__(self, message: str, errno: int | None = None, strerror: str = "") -> None:
        super().__init__(message)
        self.errno, self.strerror = errno, strerror


class WorkerError(MatlensError):
    """A model's own process ended without a result."""


class KilledError(WorkerError):
    """A model's own process was killed, most likely for want of memory."""


def named_error(kind: str, message: str) -> MatlensError:
    """The error that another process raised: one of these by its class name, else a WorkerError that names it."""
    found = globals().get(kind)
    if isinstance(found, type) and issubclass(found, MatlensError):
        return found(message)
    return WorkerError(f"{kind}: {message}")
