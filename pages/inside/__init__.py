"""The Inside the index page; a module for each kind of index that can be drawn."""
