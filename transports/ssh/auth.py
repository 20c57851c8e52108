"""How we are let in: by keys, certificates, and passwords where somebody can be asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import paramiko

from transports.errors import ConnectionLost, Refused, TransportError
from transports.ssh.agent import agent_keys
from transports.ssh.candidates import Candidate, Secrets, candidates
from transports.ssh.keyfile import Unusable
from transports.ssh.protocol import Options
from transports.ssh.questions import Handler, answered
from transports.ssh.settings import Settings
from transports.ssh.transport import Transport

_TIMES: Final = 3
_ROUNDS: Final = 6  # more than any server demands
_CERTIFICATE: Final = "-cert-v01@openssh.com"
Ways = tuple[str, ...]  # ways that the server takes; none are left when we are in


def authenticate(
    transport: Transport, settings: Settings, options: Options, url: str, accepted: Sequence[str]
) -> None:
    """Be let in; `accepted` are the algorithms of keys. Raises Refused, ConnectionLost."""
    ask = None if settings.batch else options.ask
    attempt = _Attempt(transport, settings, Secrets(options.passphrase, ask), url, accepted)
    try:
        attempt.perform()
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise attempt.ended(error) from error


@dataclass(slots=True)
class _Attempt:
    """One connection's way in. The methods that try return None where the server says no."""

    transport: Transport
    settings: Settings
    secrets: Secrets
    url: str
    accepted: Sequence[str]
    tried: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def perform(self) -> None:
        try:
            allowed: Ways = tuple(self.transport.auth_none(self.settings.user))
        except paramiko.BadAuthenticationType as error:
            allowed = tuple(error.allowed_types)
        for _ in range(_ROUNDS):
            if not allowed:
                return
            allowed = self._step(allowed)
        raise self._refused(allowed)

    def _step(self, allowed: Ways) -> Ways:
        """Go one way; return what the server wants besides."""
        ways: dict[str, Callable[[], Ways | None]] = {
            "publickey": self._by_keys,
            "keyboard-interactive": self._by_questions,
            "password": self._by_password,
        }
        for name in self.settings.authentications:
            if name in allowed and (rest := ways[name]()) is not None:
                return rest
        raise self._refused(allowed)

    def _by_keys(self) -> Ways | None:
        with agent_keys(self.settings.agent) as held:
            for candidate in candidates(self.settings, held, self.secrets, self.notes):
                if candidate.label not in self.tried:
                    rest = self._by_key(candidate)
                    if rest is not None:
                        return rest
        return None

    def _by_key(self, candidate: Candidate) -> Ways | None:
        try:
            key = candidate.load()
        except (Unusable, OSError) as error:
            self.notes.append(f"{candidate.label}: {error}")
            return None
        if not self._may_use(key):
            self.notes.append(f"{candidate.label}: its type is excluded by ssh_config")
            return None
        self.tried.append(candidate.label)
        return self._try(lambda: self.transport.auth_publickey(self.settings.user, key))

    def _may_use(self, key: paramiko.PKey) -> bool:
        blob = getattr(key, "public_blob", None)
        kind = blob.key_type if blob else key.get_name()
        suffix = _CERTIFICATE if kind.endswith(_CERTIFICATE) else ""
        if kind.removesuffix(suffix) == "ssh-rsa":
            return any(f"rsa-sha2-{size}{suffix}" in self.accepted for size in (256, 512))
        return kind in self.accepted

    def _by_password(self) -> Ways | None:
        for _ in range(_TIMES):
            password = self._asked(f"password of {self.settings.user} at {self.url}: ")
            if not password:
                return None
            self._told("password")
            rest = self._try(partial(self._send_password, password))
            if rest is not None:
                return rest
        return None

    def _send_password(self, password: str) -> Sequence[str]:
        return self.transport.auth_password(self.settings.user, password, fallback=False)

    def _by_questions(self) -> Ways | None:
        if self.secrets.ask is None:
            return None
        for _ in range(_TIMES):
            given: list[str | None] = []

            def ask(text: str, given: list[str | None] = given) -> str | None:
                given.append(self._asked(f"{self.url}: {text} "))
                return given[-1]

            self._told("questions")
            rest = self._try(partial(answered, self._send_answers, ask))
            if rest is not None:
                return rest
            if not any(given):
                return None
        return None

    def _send_answers(self, handler: Handler) -> Sequence[str]:
        return self.transport.auth_interactive(self.settings.user, handler)

    def _asked(self, question: str) -> str | None:
        return self.secrets.ask(question) if self.secrets.ask else None

    def _told(self, what: str) -> None:
        if what not in self.tried:
            self.tried.append(what)

    def _try(self, act: Callable[[], Sequence[str]]) -> Ways | None:
        try:
            return tuple(act())
        except paramiko.AuthenticationException:
            if not self.transport.is_active():
                raise
            return None

    def ended(self, error: Exception) -> TransportError:
        """Return the error for a connection that ended before we were in."""
        if self.tried and isinstance(error, paramiko.AuthenticationException | EOFError):
            return Refused(
                f"{self.url} ended the connection after it had refused {self._list()}",
                hint="IdentityFile and IdentitiesOnly in ssh_config name the one right key",
            )
        why = getattr(error, "strerror", None) or error
        return ConnectionLost(f"the connection to {self.url} was lost while logging in: {why}")

    def _refused(self, allowed: Ways) -> Refused:
        said = f"refused {self._list()}" if self.tried else "was shown no key"
        taken = ", ".join(allowed)
        notes = f" ({'; '.join(dict.fromkeys(self.notes))})" if self.notes else ""
        return Refused(
            f"{self.url} does not let {self.settings.user} in: it {said}, and takes {taken}{notes}",
            hint=self._advice(allowed),
        )

    def _list(self) -> str:
        return ", ".join(self.tried)

    def _advice(self, allowed: Ways) -> str:
        if {"gssapi-with-mic", "hostbased"} >= set(allowed):
            return "--ssh-binary leaves the connection to OpenSSH, which knows these"
        if self.secrets.ask is None and {"password", "keyboard-interactive"} & set(allowed):
            return "give it a key that the host accepts; there is no terminal to ask for a password"
        return "name the right key by IdentityFile in ssh_config, or add it to an agent"
