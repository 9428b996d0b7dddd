"""What `config` is made of: the kinds of values, the ``.env`` file, and the words for what is wrong with a setting."""
