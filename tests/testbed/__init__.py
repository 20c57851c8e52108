"""The test bed: real Docker engines, images and data for the tests, made by the tests themselves.

    workspace   one directory per run, dead or alive by its lock; removes what killed runs left
    debian      packages: installed on this machine, or of another release unpacked beside it
    daemon      one private dockerd with everything it starts, in namespaces of its own
    engine      what a test talks to: URL, docker command, docker-py client
    farhost     a host with accounts of its own, an engine's or this machine
    sshd        a real sshd on it
    proxy       a TCP proxy whose faults a test switches
    images      images made from this machine's own binaries, without a registry
    buckets     S3 servers: moto's, and rclone's with its quirks
    seed        containers with content, in the shape of the classic `dbdata` example
    walk        an independent look at a directory, to compare what was restored

Nothing here imports `backup` or `transports`: what judges them must not depend on them.
"""
