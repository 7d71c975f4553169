"""The statistics of judging, which are valid at every look: evidence, bounds, detectors, bands and means. Pure."""
