"""Expected errors, as the operator sees them.

    BackupError                 str(error) is one sentence for the operator; no traceback is shown
    ├─ UsageError               the request contradicts itself or the state of the world it names
    ├─ ConfigError              configuration or environment has an impossible value
    ├─ EngineError              the Docker engine refused or failed
    │  ├─ EngineUnavailable     there is no engine where one was looked for
    │  │  └─ EngineUntrusted    its host may be another one
    │  ├─ NotOnEngine           no such volume, container or image
    │  ├─ InUse                 the target is used by something else, or is not empty
    │  └─ HelperFailed          a helper container did not do what it was asked to do
    ├─ Protected                it would remove what is protected: the last key, say
    ├─ RepositoryError
    │  ├─ RepositoryExists      one cannot be made where there is one
    │  ├─ NotARepository        the store holds no repository
    │  ├─ WrongKey              the password opens none of the repository's keys
    │  ├─ TooLate               a deadline has passed after which prune may delete what is meant
    │  ├─ UnsupportedFormat     written by a newer voltar
    │  ├─ NoSuchKey             none of the repository's keys, or more than one, has that id
    │  ├─ NoSuchSnapshot        nothing, or more than one thing, answers to the name
    │  └─ IntegrityError        bytes are not what their id or their seal says
    ├─ MigrationRefused         what a preflight found must be settled first; nothing was touched
    ├─ MigrationFailed          it could not be moved; what was done was taken back
    ├─ DamagedImage             an image lacks layers, or they are not what their digests say
    ├─ UnsafeArchive            an entry tries to leave the volume it is restored into
    └─ VerificationFailed       what was read back is not what was restored

A class stands for a decision that a caller makes, never for a place in the code. Errors of the
transports have a tree of their own (`transports.errors`) because transports know nothing of
backups.
"""

from collections.abc import Sequence


class BackupError(Exception):
    """An expected failure; `hint`, where there is one, says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(BackupError):
    """The request contradicts itself, or is ambiguous."""


class ConfigError(BackupError):
    """A setting or an environment variable has a value that cannot be used."""


class Protected(BackupError):
    """What was asked for would remove what must stay: the last key, say."""


class EngineError(BackupError):
    """The Docker engine refused or failed."""


class EngineUnavailable(EngineError):
    """No engine answers where one was looked for."""


class EngineUntrusted(EngineUnavailable):
    """What answers at the engine's address may be another host: its key is not accepted."""


class NotOnEngine(EngineError):
    """The engine has no object of that kind and name."""

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"no {kind} {name!r} on this engine", hint=hint)
        self.kind = kind
        self.name = name


class InUse(EngineError):
    """The target is in use, or is not empty."""


class HelperFailed(EngineError):
    """A command in a helper container failed, was killed, or never ended.

    `status` is its exit status, or None where there is none; `stderr` is the tail of what it said.
    """

    def __init__(
        self, message: str, *, status: int | None = None, stderr: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.stderr = stderr


class RepositoryError(BackupError):
    """The repository cannot do what was asked."""


class RepositoryExists(RepositoryError):
    """A repository, or what is left of one, is where a new one was to be made."""


class NotARepository(RepositoryError):
    """The store holds no repository."""


class WrongKey(RepositoryError):
    """The password opens none of the repository's keys."""


class TooLate(RepositoryError):
    """Prune may delete by now what was referred to: what a backup saw, or what was forgotten."""


class UnsupportedFormat(RepositoryError):
    """The repository was written in a format that this voltar does not know."""


class NoSuchKey(RepositoryError):
    """No key, or more than one, answers to the id."""


class NoSuchSnapshot(RepositoryError):
    """No snapshot, or more than one, answers to the name."""


class IntegrityError(RepositoryError):
    """Stored bytes are not what their id or their seal says they are.

    `chunk` is the one (hex) that cannot be had for it, where it is known.
    """

    def __init__(self, message: str, *, hint: str | None = None, chunk: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.chunk = chunk


class MigrationRefused(BackupError):
    """A preflight found what must be settled first; nothing was touched.

    `findings` are printable lines.
    """

    def __init__(self, message: str, *, findings: Sequence[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class MigrationFailed(BackupError):
    """A container or volume could not be moved; what had been done was taken back."""


class DamagedImage(BackupError):
    """An image, or an archive of one, lacks layers, or they are not what their digests say."""


class UnsafeArchive(BackupError):
    """Entries would be written outside of the target; nothing was written."""


class VerificationFailed(BackupError):
    """The target, read back, differs from what was restored. `differences` are printable lines."""

    def __init__(self, message: str, *, differences: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.differences = tuple(differences)
