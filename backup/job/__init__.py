"""A job's work, once: what is done by hand, by a timer and by the daemon alike.

`runner` takes a job of the configuration through all of it; `run` captures a plan's sources, by
`storing` one of them or by `together` all that must be read in one window; `preview` and `coverage`
say what would be done, and what nothing is done about.
"""
