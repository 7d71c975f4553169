"""Access: actors and their permissions, the audit of edits, and the retention of sign-ins."""
