"""The settings of a deployment: environment variables, and the file .env that holds them."""
