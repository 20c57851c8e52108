"""Databases under load: dumped, copied, restored, with every row that was committed before."""

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.servers import MAKES, Make, serve
from tests.acceptance.test_jobs import configured
from tests.testbed.scratch import Scratch


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.name)
def test_a_dump_under_load_has_every_row_committed_before_it(
    make: Make, voltar: Voltar, scratch: Scratch
) -> None:
    server = serve(scratch, make, filled=True)
    job = f'[jobs.n]\ncontainers = ["{server.container}"]\ndump = "{make.name}"\n'
    with server.written_to() as load:
        before = load.committed
        configured(voltar, job)("run", "n")
        after = load.committed

    into = serve(scratch, make)
    voltar("restore", server.source, "--to", f"container:{into.container}")

    whole, broken = into.rows()
    assert before <= whole
    assert broken == 0
    print(before, after, whole)
    assert into.ask("select twice(21);") == ["42"]
