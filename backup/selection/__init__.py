"""What a job is about: `labels` are read, `choice` takes a job's own words for it, `resolve` puts
both together into sources of one engine, and `intent` says what shall be done with each."""
