"""The widgets that the admin pages of all apps are made of."""
