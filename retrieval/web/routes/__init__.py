"""The routes of the API: search, pictures, uploads, and the library itself."""
