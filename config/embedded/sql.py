"""The statements that make the embedded database, before Django can connect to it."""

# Rehearsals and tests need CREATEDB; the role needs no other right, because it owns its database.
CREATE_ROLE_AND_DATABASE = """CREATE ROLE {role} LOGIN CREATEDB;
CREATE DATABASE {database} OWNER {role};
"""
