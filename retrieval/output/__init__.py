"""The presentation of results, for people and programs.

text          matches as lines; `report` does the same for everything else
json_forms    one JSON form for each noun, for the command line and the server
captions      pictures with captions, for `preview` (in a terminal) and `sheet` (in a file)
graphics, terminal, fonts, sheet_html    how these two draw
"""
