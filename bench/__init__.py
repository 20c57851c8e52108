"""Comparisons with other tools and other ways, each in one run on one machine.

    python -m bench                     everything
    python -m bench dataplane           FIFO, attach, archive endpoint, local tar; both directions
    python -m bench peers               voltar, restic, borg, tar | zstd, tar | gzip: every work
    python -m bench first-backup        of these, the first backup of mixed data alone

    data      what is backed up
    bed       a private engine and a place on disk; all of it gone afterwards
    programs  the other tools, got once
    tools     which commands each tool runs for which work
    measure   seconds, CPU seconds and peak memory of commands; rounds, medians
    results   the tables of `peers`, and the figures to reach
    table     results as text and as Markdown

A figure here is a ratio of medians of one run, whose rounds alternate between the tools: on a
machine that others use too, only that means anything. docs/benchmarks.md keeps the results.
"""
