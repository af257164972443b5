"""Everything that matlens raises on purpose.

    MatlensError
    ├── UsageError            the user can mend it (exit code 2); the message says how
    │   ├── SettingsError     an option, a key of a settings file, or a value
    │   ├── DataError         photos, folders of photos, splits
    │   │   └── LabelsError   class names or labels that do not belong together
    │   ├── ModelError        an unknown model, one that does not fit the data, a damaged model file or artifact
    │   │   └── ConversionError   a network whose converted form differs from it, or that cannot be converted
    │   ├── WeightsError      pretrained weights that are missing or unreadable
    │   ├── DeviceError       a processor that cannot do what is asked of it
    │   ├── ClusterError      no cluster, or nodes that cannot do what is asked of them
    │   ├── CacheError        the cache cannot be written, or what it held is gone
    │   ├── RunError          the folder of a run or of a series: another's, damaged, in use
    │   ├── ResultsError      results, predictions or measurements that are missing, damaged, or cannot be compared
    │   ├── WriteError        a file that cannot be written: no space, no permission
    │   └── OutOfMemoryError  the machine, or a limit, leaves too little memory
    └── WorkerError           a job's own process ended badly (exit code 1)
        ├── KilledError       it ended for want of memory: most likely the system killed it
        └── CrashedError      it ended by a signal or an exit code, without naming an error

A message names the file, the class or the option, says why, and gives the way out.
"""

from __future__ import annotations


class MatlensError(Exception):
    """Base of all errors that matlens raises on purpose."""

    exit_code = 1


class UsageError(MatlensError):
    """The user can mend it; the message says how."""

    exit_code = 2


class SettingsError(UsageError):
    """An option, a key of a settings file, or a value that cannot be."""


class DataError(UsageError):
    """Photos, folders of photos, or splits that cannot be used as they are."""


class LabelsError(DataError):
    """Class names or labels that do not belong together."""


class ModelError(UsageError):
    """An unknown model, a model that does not fit the data, or a damaged model file or artifact."""


class ConversionError(ModelError):
    """A network whose converted form differs from its framework's own, or that cannot be converted."""


class WeightsError(UsageError):
    """Pretrained weights that are missing or unreadable. missing: of which model, which file, from which address."""

    def __init__(self, message: str, missing: tuple[str, str, str] | None = None) -> None:
        super().__init__(message)
        self.missing = missing


class DeviceError(UsageError):
    """A processor that cannot do what is asked of it: a precision that it lacks, too little memory."""


class ClusterError(UsageError):
    """There is no cluster, or its nodes cannot do what is asked of them: other versions, paths that they do not see."""


class CacheError(UsageError):
    """The cache cannot be written or read back, or what it held is gone."""


class RunError(UsageError):
    """The folder of a run or of a series that cannot be used: another run's, damaged, or in use."""


class ResultsError(UsageError):
    """Results, predictions or measurements that are missing, damaged, or cannot be compared."""


class WriteError(UsageError):
    """A file or folder that cannot be written. errno and strerror: the system's, where it gave them."""

    def __init__(self, message: str, errno: int | None = None, strerror: str = "") -> None:
        super().__init__(message)
        self.errno, self.strerror = errno, strerror


class OutOfMemoryError(UsageError):
    """The machine, or a limit on this process, leaves too little memory."""


class WorkerError(MatlensError):
    """A job's own process ended without a result."""


class KilledError(WorkerError):
    """A job's own process ended for want of memory: it said so, or it was killed, which is most likely for that."""


class CrashedError(WorkerError):
    """A job's own process ended by a signal, or by an exit code, without naming an error."""


def named_error(kind: str, message: str) -> MatlensError:
    """Return the error that another process raised, by its class name; a WorkerError if the name is none of these."""
    error_class = globals().get(kind)
    if isinstance(error_class, type) and issubclass(error_class, MatlensError):
        return error_class(message)
    return WorkerError(f"{kind}: {message}")
