"""Comparisons with other tools and other ways, each in one run on one machine.

    python -m bench                     everything
    python -m bench dataplane           FIFO, attach, archive endpoint, local tar; both directions
    python -m bench first-backup        voltar, restic and tar | zstd on mixed data

    data      what is backed up
    bed       a private engine, other tools, a place on disk; all of it gone afterwards
    measure   seconds, CPU seconds and peak memory of commands; rounds, medians
    table     results as text and as Markdown

A figure here is a ratio of medians of one run, whose rounds alternate between the tools: on a
machine that others use too, only that means anything. docs/benchmarks.md keeps the results.
"""
