"""SQLite itself. Nothing here knows a table.

connection    opens a file for reading and writing; turns its errors into the user's words
pool          lends a few connections to any number of threads
medium        tells what the file system can do: locks, shared memory
onlooker      reads a file that this process may not write to
recover       copies what can still be read of a damaged file
"""
