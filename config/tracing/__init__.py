"""Tracing with OpenTelemetry. Only a process that exports traces imports the modules that need its packages."""
