"""Calls to a store, several on their way at once, where that pays.

A store says by `parallel` how many transfers of packs pay. Of small objects, whose bytes take no
time and whose replies do, it is more. Where it is one, everything is done in the caller's thread,
one after the other.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain, islice
from typing import Final, TypeVar

from transports.store import Store

_T = TypeVar("_T")
_R = TypeVar("_R")
_SMALL: Final = 4
"""How many small objects are asked for in place of one pack."""
_WORTH_THREADS: Final = 1 << 20
"""Bytes that take longer to open than threads to start."""


def small(store: Store) -> int:
    """Return how many small objects to fetch or delete at once."""
    return 1 if store.parallel == 1 else _SMALL * store.parallel


def opening(store: Store, size: int, at_once: int) -> int:
    """Return how many objects to fetch and open at once, `at_once` where opening all of them, of
    so many bytes, is work for several cores."""
    return max(at_once if size > _WORTH_THREADS else 1, small(store))


@contextmanager
def threads(at_once: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads whose work is over at the end, unless a generator that uses them is given up.

    That happens wherever Python collects garbage, also amid the start of a thread: until 3.12 this
    holds a lock that is needed to wait for one, and so the wait would have no end.
    """
    pool = ThreadPoolExecutor(at_once, thread_name_prefix=name)
    over = True
    try:
        yield pool
    except GeneratorExit:
        over = False
        raise
    finally:
        pool.shutdown(wait=over, cancel_futures=True)


def mapped(
    work: Callable[[_T], _R],
    items: Iterable[_T],
    at_once: int,
    *,
    size: Callable[[_T], int] = lambda _: 0,
    most: int = 0,
) -> Generator[_R, None, None]:
    """Yield what `work` makes of each item, in their order; `at_once` are under way or waiting, or
    fewer, where their sizes come to more than `most`.

    What one raises is raised in its place; those that were begun are over when this ends, and no
    other is begun. Who closes it before does not wait for them. `items` are taken as they are
    needed, in the caller's thread.
    """
    if at_once == 1:
        yield from map(work, items)
        return
    left = iter(items)
    first = list(islice(left, 2))
    if len(first) < 2:  # nothing goes on beside it: a thread would only cost its start
        yield from map(work, first)
        return
    waiting: deque[tuple[Future[_R], int]] = deque()
    held = 0
    with threads(at_once, "voltar-ahead") as pool:
        for item in chain(first, left):
            adds = size(item)
            while waiting and (len(waiting) == at_once or held + adds > most):
                done, less = waiting.popleft()
                held -= less
                yield done.result()
            waiting.append((pool.submit(work, item), adds))
            held += adds
        while waiting:
            yield waiting.popleft()[0].result()


def for_each(work: Callable[[_T], object], items: Iterable[_T], at_once: int) -> None:
    """Do `work` with each item, in any order; what one raises keeps others from being begun."""
    with closing(mapped(work, items, at_once)) as done:
        for _ in done:
            continue
