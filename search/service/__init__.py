"""The room of the page (search/serve.py): it starts the commands and reads run folders, and has no truth of its own."""
