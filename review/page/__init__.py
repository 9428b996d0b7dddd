"""One session as a page with charts."""
