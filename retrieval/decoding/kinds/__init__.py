"""What a file is, whether or not it is a picture.

names       by its extension: the kinds of files that are left out, and the words for them
signatures  by its first bytes, where the extension is unknown or wrong
refusal     why the bytes of a file are no picture, in one sentence
"""
