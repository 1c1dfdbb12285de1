"""What people and programs are shown.

text          matches as lines; `report` does so for everything else
json_forms    one form a noun, for the command line and the server
captions      pictures with a line under them, for `preview` (a terminal) and `sheet` (a file)
graphics, terminal, fonts, sheet_html    what these two draw with
"""
