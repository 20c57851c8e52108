"""What an error of the client means: is it worth trying again, and what can be done about it?

The client has few classes, and puts everything into the text: the answer's status, the server's
own words in XML, and in a tail for developers what the system said. That text is read here. It is
never shown: addresses in it may be signed, and a signature is a secret.
"""

import re
from dataclasses import dataclass
from typing import Final

from transports.errors import (
    ConnectionLost,
    ObjectNotFound,
    OutOfSpace,
    Refused,
    TransportError,
)

_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>\s*([A-Za-z0-9_.]{1,80})\s*</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,300})</Message>")
_SYSTEM: Final = re.compile(r'(?:message|error): "([^"]{1,200})"|(TimedOut|IncompleteMessage)')
_METADATA: Final = ("169.254.169.254", "metadata.google.internal", "fd00:ec2::254")
_WORDS: Final = {
    "TimedOut": "no answer in time",
    "IncompleteMessage": "it ended in the middle of an answer",
}
_FULL_CODES: Final = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_NO_BUCKET: Final = {"NoSuchBucket", "ContainerNotFound"}
_HINTS: Final = {
    "InvalidAccessKeyId": "is it the key of this server? AWS_ACCESS_KEY_ID goes before profiles",
    "SignatureDoesNotMatch": "the secret key is not that of the access key, or the region is wrong",
    "ExpiredToken": "the session is over: log in again",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": "say the bucket's region: ?region=…",
    "PermanentRedirect": "say the bucket's region: ?region=…",
    "AccessDenied": "a backup needs the right to list, to read and to put; prune deletes, too",
    "InvalidRequest": "a bucket with Object Lock wants AWS_CHECKSUM_ALGORITHM=SHA256",
}
_NO_CREDENTIALS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials:"
    " ?profile=… or AWS_PROFILE"
)
_KEYS_OF: Final = {
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT",
    "az": "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY, or AZURE_CLIENT_ID and its like",
}
_HOPELESS: Final = {
    "CaUsedAsEndEntity": (
        "the server shows the certificate of an authority, not one of a server",
        "make one for the server that says CA:FALSE, signed by that authority or by itself",
    ),
    "NotValidForName": (
        "the server's certificate is for another name",
        "write the endpoint as the certificate names it",
    ),
    "InvalidCertificate": (
        "the server's certificate is not trusted",
        "AWS_CA_BUNDLE names a file with the certificate of a private authority",
    ),
    "BareRedirect": (
        "the server sends elsewhere, and does not say where",
        _HINTS["PermanentRedirect"],
    ),
    "InvalidContentType": ("the server does not speak TLS", "is the endpoint plain http:// there?"),
    "Name or service not known": (
        "there is no host of that name",
        "look at the endpoint, the region and the bucket's name",
    ),
}
"""What the client says where trying again is of no use."""
_OTHER_ANSWERS: Final = ("invalid list response", "ETag Header missing")
"""What the client says of an answer that no object store gives."""
_PASSING: Final = {408, 425, 429}
"""4xx that mean: not now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What can be told of a failed request: a status, where the server answered, and words."""

    status: int | None
    code: str
    words: str

    @property
    def no_bucket(self) -> bool:
        return self.code in _NO_BUCKET


def read(error: BaseException) -> Answer:
    """Return what an error's text says."""
    text = str(error)
    status, code, message = _STATUS.search(text), _CODE.search(text), _MESSAGE.search(text)
    if status is None:
        return Answer(None, "", _reason(text))
    named = code[1] if code else ""
    said = " ".join(message[1].split()).rstrip(".") if message else ""
    words = " ".join(word for word in (status[1], named) if word)
    return Answer(int(status[1]), named, f"{words}: {said}" if said else words)


def _reason(text: str) -> str:
    """Return why no answer came, in the system's words where there are any."""
    for found in _SYSTEM.finditer(text):
        return found[1] or _WORDS[found[2]]
    if "body" in text.lower():
        return "it ended in the middle of an answer"
    return "it did not work"


def failure(error: Exception, act: str, *, answered: bool, scheme: str = "s3") -> TransportError:
    """Return our error for one of the client. `act` says what was attempted, and on what;
    `answered`: whether the store has ever done what it was asked."""
    answer, text = read(error), str(error)
    if answer.no_bucket:
        return Refused(f"cannot {act}: there is no such bucket", hint="make the bucket first")
    if isinstance(error, FileNotFoundError):
        return ObjectNotFound(f"cannot {act}: it is not there")
    if any(place in text for place in _METADATA) and not answered:
        hint = _KEYS_OF.get(scheme, _NO_CREDENTIALS)
        return Refused(f"cannot {act}: no credentials were found", hint=hint)
    if any(word in text for word in _OTHER_ANSWERS):
        return no_store(act)
    if answer.status is not None:
        return _answered(answer, answer.status, act)
    return _unanswered(text, act) or ConnectionLost(
        f"cannot {act}: the connection failed: {answer.words}"
    )


def panic(act: str) -> Refused:
    """Return our error where the client gave itself up: so it does where no header can hold a key
    or a token."""
    hint = "is there a line end in a key, a session's token, or the file of a container's token?"
    return Refused(f"cannot {act}: the client for buckets cannot make the request", hint=hint)


def no_store(act: str) -> Refused:
    """Return our error for an answer that no object store gives: a web page, say."""
    hint = "is the endpoint right? does the network want a login in a browser first?"
    return Refused(f"cannot {act}: what answers there is no object store", hint=hint)


def _unanswered(text: str, act: str) -> Refused | None:
    """Return the error where there was no answer, and there would be none the next time."""
    found = next((one for word, one in _HOPELESS.items() if word in text), None)
    return None if found is None else Refused(f"cannot {act}: {found[0]}", hint=found[1])


def _answered(answer: Answer, status: int, act: str) -> TransportError:
    what = f"cannot {act}: the server says {answer.words}"
    if status == 507 or answer.code in _FULL_CODES:
        return OutOfSpace(what, hint="`voltar prune` frees what nobody needs")
    if (status >= 500 and status != 501) or status in _PASSING:
        return ConnectionLost(what)
    if answer.code == "RequestTimeout":  # a 400 of S3 for a connection that stood still
        return ConnectionLost(what)
    hint = _HINTS.get(answer.code)
    if hint is None:
        hint = _by_status(status)
    return Refused(what, hint=hint)


def _by_status(status: int) -> str | None:
    if status in (401, 403):
        return _HINTS["AccessDenied"]
    if 300 <= status < 400:
        return _HINTS["PermanentRedirect"]
    return None
