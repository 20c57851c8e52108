"""How a line of ssh_config is divided into words."""

from typing import Final

_SPACE: Final = " \t"


class BadWords(ValueError):
    """A quotation mark has no partner."""


def keyword_of(line: str) -> tuple[str, str]:
    """Return the keyword in small letters, and the rest; "=" may stand between, once."""
    end = 0
    while end < len(line) and line[end] not in _SPACE + '="':
        end += 1
    keyword, rest = line[:end], line[end:].lstrip(_SPACE)
    if rest.startswith("="):
        rest = rest[1:].lstrip(_SPACE)
    return keyword.lower(), rest


def split_words(text: str) -> list[str]:
    """Divide at spaces; quotation marks hold together, a word that begins with "#" ends it all.

    Raises BadWords.
    """
    words: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in _SPACE:
            position += 1
        if position == len(text) or text[position] == "#":
            return words
        word, position = _word(text, position)
        words.append(word)


def _word(text: str, position: int) -> tuple[str, int]:
    word = ""
    quote = ""
    while position < len(text):
        letter = text[position]
        if letter == "\\" and text[position + 1 : position + 2] in _escaped(quote):
            word += text[position + 1]
            position += 2
            continue
        if not quote and letter in _SPACE:
            break
        if not quote and letter in "\"'":
            quote = letter
        elif letter == quote:
            quote = ""
        else:
            word += letter
        position += 1
    if quote:
        raise BadWords("a quotation mark has no partner")
    return word, position


def _escaped(quote: str) -> tuple[str, ...]:
    """Return what a backslash takes the meaning from."""
    return ("'", '"', "\\") if quote else ("'", '"', "\\", " ")
