"""The exception tree.

::

    PolypAugError
    ├── ConfigurationError(ValueError)     an option or a combination of options is wrong
    │   └── RunConfigurationChanged        an old run folder was made with other settings
    ├── MissingDependencyError(ImportError) an optional package is not installed
    ├── ImageError(ValueError)             a picture can't be read safely
    ├── CocoError(ValueError)              a COCO file breaks the format
    ├── DatasetLayoutError(ValueError)     a public data set's folder is not as published
    ├── DatabaseError(ValueError)          a reference database is empty, damaged, or of another encoder
    ├── NoPlacementError(RuntimeError)     a frame has no room for a polyp
    ├── ProgramError(RuntimeError)         a program of others that was started failed
    ├── SynthesisError(RuntimeError)       a synthesizer can't paint, or painted nothing usable
    ├── RunFolderBusyError(RuntimeError)   another process writes to the folder
    ├── RunFolderDamagedError(ValueError)  a record of a run folder can't be trusted
    ├── StorageError(OSError)              a file can't be written (disk full, no permission)
    └── TooManyFailuresError(RuntimeError) more samples failed than the run allows

Each class also derives from the builtin that a caller would expect. Messages hold the value that was given, what was
expected, and the file or annotation id.
"""


class PolypAugError(Exception):
    """Base of every error that polyp_aug raises on purpose."""


class ConfigurationError(PolypAugError, ValueError):
    """An option, or a combination of options, is wrong."""


class RunConfigurationChanged(ConfigurationError):
    """An existing run folder was made with other settings than the ones given now."""


class MissingDependencyError(PolypAugError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class ImageError(PolypAugError, ValueError):
    """A picture can't be read safely."""


class CocoError(PolypAugError, ValueError):
    """A COCO file breaks the format; the message lists the problems with file and annotation id."""


class DatasetLayoutError(PolypAugError, ValueError):
    """The folder of a public data set is not laid out as its authors published it."""


class DatabaseError(PolypAugError, ValueError):
    """A reference database is empty or damaged, or was made with another encoder or in another format."""


class NoPlacementError(PolypAugError, RuntimeError):
    """No place in a frame can hold another polyp."""


class ProgramError(PolypAugError, RuntimeError):
    """A program of others that was started failed; the message holds the end of what it printed."""


class SynthesisError(PolypAugError, RuntimeError):
    """A synthesizer can't paint a job, or what it painted is unusable."""


class RunFolderBusyError(PolypAugError, RuntimeError):
    """Another process is writing to the run folder."""


class RunFolderDamagedError(PolypAugError, ValueError):
    """A record of a run folder can't be trusted."""


class StorageError(PolypAugError, OSError):
    """A file can't be written: the disk is full, a quota is reached, or permission is missing."""


class TooManyFailuresError(PolypAugError, RuntimeError):
    """More samples failed than the run allows; the message names the first of them."""
