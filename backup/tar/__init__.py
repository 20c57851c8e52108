"""Tar streams taken apart and put together again, byte for byte; nothing here knows of snapshots.

`split` cuts a stream into headers, bodies and padding, and `build` makes a stream of them again;
`entry` says what a member is, by its `header`; `sparse` and `regions` are about files with holes.
"""
