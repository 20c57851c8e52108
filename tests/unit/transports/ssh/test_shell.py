import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transports.ssh.shell import command_line, new_mark

WORDS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
) | st.sampled_from(["it's", "\\", "\\n", "!x", "a\nb", "@0101", "", "-n", "$(id)", "~", "`", "%s"])


@pytest.mark.parametrize("shell", ["sh", "bash"])
@settings(max_examples=40)
@given(words=st.lists(WORDS, max_size=4))
def test_any_words_arrive_through_a_login_shell(shell, words):
    mark = new_mark()
    script = 'for word; do printf "%s\\0" "$word"; done'
    line = command_line(["sh", "-c", script, "sh", *words], mark)

    done = subprocess.run([shutil.which(shell), "-c", line], capture_output=True, check=True)

    assert done.stdout == "".join([f"{mark}\n", *(f"{word}\0" for word in words)]).encode()
    assert done.stderr == f"{mark}\n".encode()


def test_a_shell_that_disagrees_about_quotes_sees_none_of_them():
    line = command_line(["printf", "it's", "back\\slash", "line\nend", "!"], new_mark())

    script, words = line.split("' sh ")
    assert "!" not in line
    assert "\n" not in line
    assert words.count("'") == 2
    assert script.count("'") == 1
