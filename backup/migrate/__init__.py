"""Moving a container or a volume to another engine.

    survey     look at both engines                      facts
    plan       pure: facts and wishes                    findings and steps
    apply      perform the steps, a journal beside       moved, or as it was before
    recover    what a killed run left                    likewise
    finish, rollback                                     later, when the operator says so

Before anything is touched, everything that can be known is looked at; each finding says what
settles it. Everything that can fail for another reason than the data is done while the source still
runs: its image, networks, volumes and the container itself are made on the target first. Only then
is the source stopped, its data are carried and compared, and the target is started. Whatever goes
wrong until the target is up takes all of it back. The source's data are never deleted by a
migration.
"""
