"""A poll from the claim of a due slot to the stored lines."""
