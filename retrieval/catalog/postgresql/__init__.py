"""PostgreSQL itself, by psycopg (extra `cluster`). Nothing else of the project knows of it.

database     the `Database` of a library at a postgresql:// URL
connection   connects, and explains the server's errors to users
pool         lends a few connections to any number of threads
session      holds the library for a run, and tells others how far it is
tables       what this engine has beside the tables of `schema`: version, changes, functions
"""
