"""The command line: the only code that prints, exits, and reads the environment.

Exit codes, all in this one table:

    0    done
    1    failed
    2    the command line is wrong
    3    done, but some sources failed, were not captured as they should be, look like a loss, or
         failed in a drill; of `status`: something failed, is overdue or held
    4    stored data is damaged, or what was restored is not what was stored
    5    refused: the target is in use or not empty, the repository exists, what would be removed is
         protected, or a migration cannot begin
    6    not a repository, or not its password
    7    a host shows a key that is unknown, changed or revoked: it may be another one
    70   a bug in voltar
    130  interrupted

stdout carries the answer and nothing else; what is told along the way, and errors, go to stderr.
With --quiet, what was asked for is printed and what is wrong, but no report of what went well.
"""

from typing import Final

from backup import errors
from transports.errors import HostKeyRefused, TransportError

FAILED: Final = 1
USAGE: Final = 2
INCOMPLETE: Final = 3
INTEGRITY: Final = 4
REFUSED: Final = 5
NO_REPOSITORY: Final = 6
HOST_KEY: Final = 7
BUG: Final = 70
INTERRUPTED: Final = 130

EXIT_CODES: Final[dict[type[Exception], int]] = {
    errors.BackupError: FAILED,
    errors.UsageError: USAGE,
    errors.ConfigError: USAGE,
    errors.Protected: REFUSED,
    errors.EngineError: FAILED,
    errors.EngineUnavailable: FAILED,
    errors.EngineUntrusted: HOST_KEY,
    errors.NotOnEngine: FAILED,
    errors.InUse: REFUSED,
    errors.HelperFailed: FAILED,
    errors.RepositoryError: FAILED,
    errors.RepositoryExists: REFUSED,
    errors.NotARepository: NO_REPOSITORY,
    errors.WrongKey: NO_REPOSITORY,
    errors.TooLate: FAILED,
    errors.UnsupportedFormat: NO_REPOSITORY,
    errors.NoSuchKey: FAILED,
    errors.NoSuchSnapshot: FAILED,
    errors.IntegrityError: INTEGRITY,
    errors.MigrationRefused: REFUSED,
    errors.MigrationFailed: FAILED,
    errors.DamagedImage: INTEGRITY,
    errors.UnsafeArchive: INTEGRITY,
    errors.VerificationFailed: INTEGRITY,
    TransportError: FAILED,
    HostKeyRefused: HOST_KEY,
}


def exit_code(error: Exception) -> int:
    """Return the exit code of an expected error: that of the nearest class in the table."""
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return BUG
