"""Lines of several processes in one log, and whose they are."""

import io
import json

from backup.cli.named import Named


def test_each_line_has_its_name_however_it_was_written() -> None:
    out = io.StringIO()
    stream = Named(out, "run nightly")

    for text in ("one\ntw", "o\n", "", "\nfour"):
        stream.write(text)

    assert out.getvalue() == "run nightly: one\nrun nightly: two\nrun nightly: \nrun nightly: four"


def test_lines_of_json_stay_json() -> None:
    out = io.StringIO()

    print(json.dumps({"type": "warning"}), file=Named(out, 'check "x"'))

    assert json.loads(out.getvalue()) == {"task": 'check "x"', "type": "warning"}
