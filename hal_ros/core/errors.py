"""The error tree.

HalError
├── CardError      a bundle's card or files are missing, damaged or do not fit together
├── BagError       a bag can't be read or written
├── DatasetError   episodes, annotations or transcripts are malformed
├── BackendError   an inference backend can't be opened, or its outputs are wrong
├── ConfigError    a parameter or configuration value is out of range or unknown
└── ImageError     an image message can't be converted; live, it is counted and skipped

Every message is one line: what is wrong, the offending value, and what was expected.
"""


class HalError(Exception):
    """Base of all errors that a user can act on."""


class CardError(HalError):
    """A bundle's card or files are missing, damaged or do not fit together."""


class BagError(HalError):
    """A bag can't be read or written."""


class DatasetError(HalError):
    """Episodes, annotations or transcripts are malformed."""


class BackendError(HalError):
    """An inference backend can't be opened, or its outputs are wrong."""


class ConfigError(HalError):
    """A parameter or configuration value is out of range or unknown."""


class ImageError(HalError):
    """An image message can't be converted to pixels."""
