"""After a search: its best trained again, and scored on people held out from every choice."""
