"""The routes of the API: search, judging, pictures, uploads, and the library itself."""
