"""The console as a whole: its theme, home page, groups, accounts and list of edits."""
