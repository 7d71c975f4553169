"""The life of an operating-system process: state of its own, locks, and its parent."""
