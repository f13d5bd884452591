"""A silo's agent: beside the data, dials out, decides by its own policy, and runs approved apps in worker processes."""
