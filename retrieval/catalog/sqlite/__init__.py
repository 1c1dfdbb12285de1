"""SQLite itself. Nothing here knows about tables.

database      the `Database` of a library in a folder
connection    opens a file for reading and writing; explains its errors to users
pool          lends a few connections to any number of threads
medium        finds out what the file system supports: locks, shared memory
onlooker      reads a file that this process may not write to
header        refuses a file by its first bytes, before SQLite opens it
living        the connections of this process, whose locks closing the file would drop
backup        copies the catalog while it is in use
recover       copies what can still be read of a damaged file
"""
