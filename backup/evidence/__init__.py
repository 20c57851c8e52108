"""Evidence: a container as it is, with all that belongs to it, in one place and hashed.

    top, inspect, diff, logs, the engine's facts, the image that a commit makes, every mount

What is fleeting is read first. The container is not touched: not stopped, and paused only where
that is asked for. What cannot be had is said in the manifest, and keeps nothing else from being
read. `manifest.json` lists every artefact with its SHA-256, SHA256SUMS lists the same for
`sha256sum -c`, the manifest included, and the digest of SHA256SUMS is told at the end: who writes
that down can tell later whether anything was changed.

`ledger` writes it down, `place` is where it goes to (a directory, a tar file, a repository),
`gather` asks the engine, `journal` and `sweep` see to it that a killed run leaves no container
paused and no image behind.
"""
