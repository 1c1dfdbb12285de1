"""SQLite itself: nothing here knows a table.

connection    opens a file for reading and writing; its complaints in the user's words
pool          a few connections, lent to any number of threads
medium        what the file system can do: locks, shared memory
onlooker      reads a file that this process may not write to
recover       copies what a damaged file still holds
"""
