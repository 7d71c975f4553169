"""The shared ground of all apps. It imports none of them."""
