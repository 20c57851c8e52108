"""Drills: snapshots restored for proof, where nothing of production can be touched.

    what is drilled together: a container with all it mounted, or one source    choice
    catalog, store, content: by a restore into scratch volumes                  proof
    boot, assert: the container as it was captured, but cut off                 isolation, boot
    all that was made is removed, by this run or by the next one                scene
    JSON, JUnit XML, Prometheus text                                            report, formats

What a drill makes has its label and a name of its own, and a helper lives as long as the drill: by
these the next run knows what a dead one left.
"""
