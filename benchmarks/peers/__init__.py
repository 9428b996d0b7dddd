"""The same conditions in what one would pick instead, each in its own file. They run in environments of their own."""
