"""Pictures at addresses of http and https.

fetch       asks one address, bounded; `public` tells which addresses anyone may ask
guest       asks as a guest of many hosts: robots.txt, few at a time, patiently
index_page  the files and folders that a server's index page links to
at_once     several questions in threads that Ctrl-C does not wait for
ranged      a large file there, read in parts
site        a folder whose listings are index pages, as a source; or a single file
"""
