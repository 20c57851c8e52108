"""When things are due: a `span` of time, the `sentence` that a schedule is, the `timetable` of what
has one, and the `freshness` that it promises. Pure: the time now is always a parameter."""
