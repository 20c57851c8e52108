"""The kinds of texts in a configuration: what editors are told of each. What is checked beyond that
is in `value`."""

from enum import Enum
from typing import Annotated, Final

from msgspec import Meta


class Text(Enum):
    """What a text is; the value is what it is called in the reference."""

    SPAN = "span"
    AGE = "age"
    SIZE = "size"
    RATE = "size a second"
    SENTENCE = "schedule"
    ZONE = "time zone"
    PATH = "path"
    TEXTFILE = "path of a .prom file"
    LOCATION = "location"
    ENGINE = "URL of an engine"
    PING = "URL"
    TELLING = "URL for apprise"
    LISTEN = "host:port"
    NAME = "name"
    OBJECT = "name in Docker"
    LABEL = "label"
    EXEMPTION = "exemption"
    FILES = "pattern of files"
    TAG = "tag"
    TAGS = "tags"
    WORD = "text"


_SPAN: Final = r"^(?=[0-9])([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,6}min)?([0-9]{1,7}s)?$"
_AGE: Final = r"^(?=[0-9])([0-9]{1,6}y)?([0-9]{1,6}m)?([0-9]{1,6}w)?([0-9]{1,6}d)?([0-9]{1,6}h)?$"
_SIZE: Final = r"^\s*[0-9]+(\.[0-9]+)?\s*[KMGTkmgt]?([iI]?[bB])?\s*$"
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"


def _text(text: Text, pattern: str | None = None, *examples: str) -> Meta:
    schema: dict[str, object] = {"pattern": pattern} if pattern else {"minLength": 1}
    if examples:
        schema["examples"] = list(examples)
    return Meta(extra={"text": text}, extra_json_schema=schema)


Span = Annotated[str, _text(Text.SPAN, _SPAN, "30s", "5min", "2h", "7d")]
Age = Annotated[str, _text(Text.AGE, _AGE, "30d", "1y6m")]
Size = Annotated[str, _text(Text.SIZE, _SIZE, "500M", "2G")]
Rate = Annotated[str, _text(Text.RATE, _SIZE, "2M")]
Sentence = Annotated[str, _text(Text.SENTENCE, None, "every day at 03:00", "every 6 hours")]
Zone = Annotated[str, _text(Text.ZONE, None, "Europe/Berlin", "UTC")]
Path = Annotated[str, _text(Text.PATH)]
Textfile = Annotated[str, _text(Text.TEXTFILE, r"\.prom$")]
Location = Annotated[str, _text(Text.LOCATION, None, "/srv/backup", "sftp://nas/srv/backup")]
EngineUrl = Annotated[str, _text(Text.ENGINE, None, "ssh://backup@web1")]
Ping = Annotated[str, _text(Text.PING, "^https?://.")]
Telling = Annotated[str, _text(Text.TELLING, "^[A-Za-z][A-Za-z0-9_+.-]*://.")]
Listen = Annotated[str, _text(Text.LISTEN, ":[0-9]+$", "127.0.0.1:9187", "[::1]:9187")]
Name = Annotated[str, _text(Text.NAME, _NAME)]
Object = Annotated[str, _text(Text.OBJECT, r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")]
Label = Annotated[str, _text(Text.LABEL, "^[^=]", "backup", "tier=data")]
Exemption = Annotated[str, _text(Text.EXEMPTION, None, "volume:cache", "path:/srv/tmp", "test-*")]
Files = Annotated[str, _text(Text.FILES, None, "*.tmp", "/cache/")]
Tag = Annotated[str, _text(Text.TAG, "^[^,]+$")]
Tags = Annotated[str, _text(Text.TAGS, None, "important", "db,monthly")]
Word = Annotated[str, _text(Text.WORD)]
Command = Annotated[list[str], Meta(min_length=1, examples=[["pg_isready", "-q"]])]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
